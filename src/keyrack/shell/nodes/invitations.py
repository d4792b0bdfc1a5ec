"""An invitation: one sealed file that holds everything an equal node needs, for whoever has its passphrase.

A line that names the format, a line of JSON that says for whom it is and how the passphrase was made into a key, and
what is sealed under that key, bound to both lines. Whoever opens it has all that the node it came from has.
"""

import hashlib
import hmac
import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged, KeystoreLocked
from keyrack.embedded.root_keys.sealing import Sealing, derive
from keyrack.embedded.root_keys.unlock import Passphrase
from keyrack.shell import pki

MAGIC: Final = b"keyrack invitation 1\n"
LONGEST_HEADER: Final = 4096
MANIFEST: Final = "invitation.json"


class BadInvitation(Exception):
    """A file that is no invitation, was changed, or does not open; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """An embedded key manager, as it was when the invitation was made."""

    keystore: str
    """Identifier of its keystore."""
    revision: int
    """The change that its copy stands at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What is in the file."""

    deployment: str
    node: str
    """The name that the new node has."""
    made_at: int
    """Seconds since 1970."""
    names: list[str]
    """What its server certificate is for."""
    fingerprint: str
    """Of that certificate: SHA-256, 64 lower-case hexadecimal digits."""
    key_managers: dict[str, Copied]
    """Embedded ones by their configured names."""
    elsewhere: list[str]
    """Files that the configuration names outside of the deployment's directory: they are not in it."""
    configuration: str
    """The configuration's text, as the first node has it."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By their paths below the deployment's directory."""


def write(invitation: Invitation, passphrase: Passphrase, path: Path) -> None:
    """Seal it into a new file that its owner alone reads; raises ``FileExistsError``. The passphrase is wiped."""
    parameters = dict(passphrase.prepare())
    told = {"deployment": invitation.deployment, "node": invitation.node, "made_at": invitation.made_at}
    try:
        with passphrase.master_key(parameters) as master:
            header = _line({**told, "kdf": parameters, "check": _check(master, invitation.deployment)})
            with derive(master, invitation.deployment, "keyrack invitation seal v1") as key:
                sealing = Sealing(key)
    finally:
        passphrase.wipe()
    with Secret(_packed(invitation)) as content:
        pki.write_private(path, MAGIC + header + sealing.seal(content, _purpose(header)))


def read(path: Path, passphrase: Passphrase) -> Invitation:
    """Open it; raises :class:`BadInvitation`, and ``OSError``. The passphrase is wiped."""
    with open(path, "rb") as file:
        magic, header = file.read(len(MAGIC)), file.readline(LONGEST_HEADER)
        sealed = file.read()
    if magic != MAGIC:
        raise BadInvitation(f"{path} is no invitation of this version of keyrack: 'keyrack node invite' makes one")
    try:
        told = json.loads(header)
        deployment, check = str(told["deployment"]), str(told["check"])
        with passphrase.master_key(told["kdf"]) as master:
            if not hmac.compare_digest(check.encode(), _check(master, deployment).encode()):
                raise BadInvitation(f"the passphrase is not the one of {path}")
            with derive(master, deployment, "keyrack invitation seal v1") as key:
                sealing = Sealing(key)
        with sealing.open(sealed, _purpose(header), "invitation") as content:
            return _unpacked(content)
    except KeystoreLocked as error:
        raise BadInvitation(str(error)) from None
    except (ValueError, KeyError, TypeError, KeystoreDamaged, tarfile.TarError, RecursionError):
        raise BadInvitation(
            f"{path} was changed or cut off since it was made: copy it again, or have another one made"
        ) from None
    finally:
        passphrase.wipe()


def safe(name: str) -> bool:
    """Whether a path of an invitation stays below the directory that it is put into."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _packed(invitation: Invitation) -> bytearray:
    told = asdict(invitation)
    del told["files"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in ((MANIFEST, json.dumps(told).encode()), *sorted(invitation.files.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), int(time.time())
            archive.addfile(member, io.BytesIO(content))
    return bytearray(buffer.getbuffer())


def _unpacked(content: Secret) -> Invitation:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content.reveal()), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None or not safe(member.name):
                raise ValueError(member.name)
            files[member.name] = file.read()
    told: dict[str, Any] = json.loads(files.pop(MANIFEST))
    copied = {name: Copied(**each) for name, each in told.pop("key_managers").items()}
    return Invitation(**told, key_managers=copied, files=files)


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _purpose(header: bytes) -> str:
    return f"keyrack invitation {header.decode()}"


def _check(master: Secret, deployment: str) -> str:
    with derive(master, deployment, "keyrack invitation check v1") as key:
        return hmac.digest(key.reveal(), b"invitation", hashlib.sha256)[:16].hex()
