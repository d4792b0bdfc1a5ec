"""What an equal node needs, gathered on a node that is there: files, a copy of its key managers, a certificate."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from keyrack.embedded.store.database import anchor_path, database_path
from keyrack.shell import pki
from keyrack.shell.config.journal import JsonLinesSink
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config, load
from keyrack.shell.issuing import authority_of
from keyrack.shell.nodes.invitations import Copied, Invitation
from keyrack.shell.office import open_house_of
from keyrack.shell.sealed.openers import AskPassphrase

LARGEST: Final = 2**20
"""Bytes of the longest file that is taken along: keys, certificates, passwords."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """The node that is to be."""

    node: str
    names: Sequence[str]
    """Host names and addresses of its server certificate."""

    @property
    def certified(self) -> list[str]:
        """With those by which programs of its own machine call it."""
        return list(dict.fromkeys((*self.names, "localhost", "127.0.0.1")))


def invitation_for(guest: Guest, config: Config, file: Path, ask: AskPassphrase | None = None) -> Invitation:
    """Gather everything; raises ``ConfigError``, ``Refused`` where there is no authority here, and ``OSError``."""
    text = file.read_text(encoding="utf-8")
    configured(text, node=guest.node, directory=config.directory, beside=file)  # Now, and not on the other machine.
    now = time.time()
    authority = authority_of(config)
    pair = pki.issue_server(authority, guest.certified, now=datetime.fromtimestamp(now, UTC), key=_server_key())
    files, elsewhere = _files_of(config)
    files["tls/ca.pem"] = authority.certificate_pem
    chain = pair.certificate_pem + authority.certificate_pem
    for certificate, key in _listeners(config):
        for path, content in ((certificate, chain), (key, pair.key_pem)):
            if (name := _below(config, path)) is None:
                elsewhere.append(str(path))
            else:
                files[name] = content
    copied = {name: _key_manager(config, name, files, ask) for name in config.embedded}
    return Invitation(
        deployment=config.deployment.id,
        node=guest.node,
        made_at=int(now),
        names=guest.certified,
        fingerprint=pair.fingerprint,
        key_managers=copied,
        elsewhere=sorted(set(elsewhere)),
        configuration=text,
        files=files,
    )


def configured(text: str, *, node: str, directory: Path, beside: Path) -> str:
    """The configuration of another node: the same, with a name and a directory of its own.

    Raises :class:`ConfigError` where it is written so that they cannot be put in. ``beside``: a file of the directory
    that the text is tried in.
    """
    heading = re.search(r"^[ \t]*\[deployment\][^\n]*\n", text, re.MULTILINE)
    if heading is None:
        raise ConfigError([_not_a_table()])
    begin = heading.end()
    end = next((match.start() for match in re.compile(r"^[ \t]*\[", re.MULTILINE).finditer(text, begin)), len(text))
    kept = re.sub(r"^[ \t]*(node|directory)[ \t]*=[^\n]*(\n|$)", "", text[begin:end], flags=re.MULTILINE)
    # JSON's escapes are TOML's.
    changed = f"{text[:begin]}node = {json.dumps(node)}\ndirectory = {json.dumps(str(directory))}\n{kept}{text[end:]}"
    before, after = _read(text, beside), _read(changed, beside)
    wanted = before.deployment.model_copy(update={"node": node, "directory": directory})
    if after != before.model_copy(update={"deployment": wanted}):
        raise ConfigError([_not_a_table()])
    return changed


def _read(text: str, beside: Path) -> Config:
    """As it is written, whatever the environment says."""
    trial = beside.with_name(f".{beside.name}.{time.time_ns()}")
    pki.write_private(trial, text.encode())
    try:
        return load(trial, {})
    finally:
        trial.unlink()


def _not_a_table() -> Problem:
    return Problem(
        where="deployment",
        what="another node's name and directory cannot be put into it",
        why="it is written in another way than as a table of its own",
        instead="write [deployment] on a line of its own, and id, node and directory on one line each below it",
    )


def _files_of(config: Config) -> tuple[dict[str, bytes], list[str]]:
    """Files that the configuration names, but what is each node's own: those below the directory, and the others."""
    own = {path for pair in _listeners(config) for path in pair}
    own.add(config.path(config.journal.checkpoint_file))
    own |= {config.path(each.file) for each in config.journal.sinks.values() if isinstance(each, JsonLinesSink)}
    files: dict[str, bytes] = {}
    elsewhere = []
    for path in dict.fromkeys(config.path(each) for each in _paths_in(config)):
        if path in own or path.is_dir() or path == config.directory:
            continue
        name = _below(config, path)
        if name is None:
            elsewhere.append(str(path))
        elif path.is_file():
            if path.stat().st_size > LARGEST:
                raise ConfigError([_too_large(path)])
            files[name] = path.read_bytes()
    return files, elsewhere


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths_in(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _paths_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths_in(each)


def _listeners(config: Config) -> list[tuple[Path, Path]]:
    """Certificate and key of everything that listens: they are in the name of this machine."""
    named = [(each.certificate, each.key) for each in (config.kmip, config.key_manager_api, config.api)]
    return [
        (config.path(certificate), config.path(key))
        for certificate, key in dict.fromkeys(named)
        if certificate is not None and key is not None
    ]


def _key_manager(config: Config, name: str, files: dict[str, bytes], ask: AskPassphrase | None) -> Copied:
    """Put its keystore and a copy of its database among the files."""
    house = open_house_of(config, name, ask)
    try:
        keystore = config.path(config.embedded[name].keystore)
        place = _below(config, keystore)
        if place is None:
            raise ConfigError([_keystore_elsewhere(name, keystore)])
        copy = house.database.copy()
        database = database_path(Path(place))
        files[place] = keystore.read_bytes()
        files[str(database)] = copy.content
        files[str(anchor_path(database))] = copy.anchor
        return Copied(keystore=house.keystore.identifier, revision=copy.revision)
    finally:
        house.close()


def _keystore_elsewhere(name: str, keystore: Path) -> Problem:
    return Problem(
        where=f"key_managers.{name}.keystore",
        what=f"{keystore} is outside of the deployment's directory",
        why="another node has a copy of it in its own",
        instead="move it there, with its .db and .revision, while nothing runs",
    )


def _too_large(path: Path) -> Problem:
    return Problem(
        where=str(path),
        what=f"it is longer than {LARGEST} bytes",
        why="an invitation takes along keys, certificates and passwords, and this is none",
        instead="correct the configuration that names it",
    )


def _below(config: Config, path: Path) -> str | None:
    """Its path below the deployment's directory; ``None`` for one that is elsewhere."""
    try:
        return str(path.resolve().relative_to(config.directory.resolve()))
    except ValueError:
        return None


def _server_key() -> pki.PrivateKey:
    return pki.make_key("rsa-2048")
