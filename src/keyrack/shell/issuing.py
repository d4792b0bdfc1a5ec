"""Certificates that the deployment's own authority signs: with a key made here and handed out once, or by a request."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyrack.domain.instances import Instance
from keyrack.service.office.administration import Administration
from keyrack.service.office.certificates import Offered, read
from keyrack.service.office.refusals import Refused
from keyrack.service.office.requests import OfferedRequest
from keyrack.shell import pki
from keyrack.shell.config.whole import Config


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, or without, as it is handed out once."""

    offered: Offered
    files: Mapping[str, bytes]
    """By what they hold: ``certificate``, ``private_key`` and ``issuer`` in PEM, or ``pkcs12``."""


def authority_of(config: Config) -> pki.Pair:
    """The authority that ``keyrack init`` made; raises ``Refused`` where its files are of no use."""
    directory = config.directory / "tls"
    try:
        return pki.read_authority(directory / "ca.pem", directory / "ca.key")
    except (OSError, ValueError) as error:
        raise Refused(
            f"the authority of this deployment cannot be used: {error}; add a certificate with 'cert add'"
        ) from None


def issue(
    authority: pki.Pair, instance: Instance, *, name: str | None, days: int, at: int, password: bytes | None = None
) -> Issued:
    """Make a key and a certificate for it; with a ``password`` as PKCS #12. Takes some 100 ms.

    Nothing of the key is kept here, and it does not count before it is added.
    """
    common_name = name or f"{instance.name} client"
    now = datetime.fromtimestamp(at, UTC)
    pair = pki.issue_client(authority, common_name, now=now, key=pki.make_key("rsa-2048"), days=days)
    offered = read(pair.certificate_pem, instance=instance.identifier, at=at)
    if password is not None:
        packed = pair.pkcs12(password, name=common_name, issuer=authority.certificate)
        return Issued(offered, {"pkcs12": packed})
    files = {"certificate": pair.certificate_pem, "private_key": pair.key_pem, "issuer": authority.certificate_pem}
    return Issued(offered, files)


def sign(authority: pki.Pair, instance: Instance, request: OfferedRequest, *, days: int, at: int) -> Issued:
    """A certificate for the key of a request; it does not count before it is added."""
    signed = pki.sign_client(
        authority,
        request.subject,
        request.public_key,
        now=datetime.fromtimestamp(at, UTC),
        days=days,
        alternative=request.alternative,
    )
    pem = pki.pem_of(signed)
    offered = read(pem, instance=instance.identifier, at=at)
    return Issued(offered, {"certificate": pem, "issuer": authority.certificate_pem})


async def enter(administration: Administration, issued: Issued) -> None:
    """Let the issued certificate in; raises what adding one raises."""
    await administration.add_certificate(issued.offered.certificate)


@contextlib.contextmanager
def written(files: Mapping[Path, tuple[bytes, bool]]) -> Iterator[None]:
    """New files, each with whether it is secret; gone again where the block fails, so that nothing half-done stays."""
    made: list[Path] = []
    try:
        for path, (content, secret) in files.items():
            (pki.write_private if secret else pki.write_new)(path, content)
            made.append(path)
        yield
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
