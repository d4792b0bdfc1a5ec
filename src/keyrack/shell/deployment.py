"""Makes a new deployment: directory, authority, server certificate, keystore, catalog and configuration, or nothing."""

import asyncio
import json
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.journals.signing import load_or_make
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded import files
from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase, Unlock
from keyrack.service.office.administration import Administrator
from keyrack.shell import pki
from keyrack.shell.config.journal import JournalTable
from keyrack.shell.config.rewriting import catalog_lines
from keyrack.shell.config.whole import load
from keyrack.shell.first_person import enter_first_person
from keyrack.shell.nodes.new_catalog import take_new

if TYPE_CHECKING:
    from keyrack.shell.sealed.openers import Question

SIGNING_KEY = JournalTable().signing_key
"""The file of the key that signs the journal's checkpoints."""
INTEGRITY_KEY = "integrity.key"
"""The file of the integrity root, of a deployment without an embedded key manager."""


class Stage(StrEnum):
    """What is made, one after the other."""

    KEY_MANAGER = "key-manager"
    CATALOG = "catalog"
    CERTIFICATES = "certificates"
    CONFIGURATION = "configuration"
    PERSON = "person"
    INSTANCE = "instance"
    MADE = "made"
    """Everything is there."""


@dataclass(frozen=True, slots=True)
class FirstInstance:
    """What clients may use at once."""

    name: str
    root_key: str | None = None
    """Of the key manager; ``None``: a new one, which it makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be made. Every path but ``config`` lies in ``directory``."""

    deployment: str
    directory: Path
    config: Path
    names: Sequence[str]
    """Host names and addresses by which others know the server; the first one is its certificate's common name."""
    host: str
    port: int
    key_manager: str
    """The tables of the key manager in the configuration, in TOML."""
    opener: Unlock | None = None
    """What seals the embedded key manager's keystore. ``None``: no keystore is made, and an integrity root is."""
    authority_key: pki.KeyKind = "rsa-2048"
    log_format: str = "auto"
    log_level: str = "info"
    first_person: str | None = None
    """Name of the first person; without it there is nobody yet."""
    password: Secret | None = field(default=None, repr=False)
    """Of the first person, UTF-8; without it a link sets one."""
    instance: FirstInstance | None = None
    """An instance to begin with, if any."""
    by: Administrator = Administrator("local-user-unknown")
    """Who makes it, as the journal names it."""
    api_host: str = "127.0.0.1"
    api_port: int = 8443
    """Where the administration API listens."""
    api_enabled: bool = True
    catalog_url: str = ""
    """A prepared PostgreSQL database; empty: a SQLite file is made."""
    catalog_password_file: Path | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    """Files of one line that the configuration names and only the owner reads, by their name in ``directory``."""

    @property
    def certified(self) -> list[str]:
        """What the server certificate is for: the names, and those by which programs of this machine call it."""
        return list(dict.fromkeys((*self.names, "localhost", "127.0.0.1")))

    def taken(self) -> list[Path]:
        """What is there already and would have to be overwritten."""
        made = (
            "catalog.db",
            "keystore",
            "keystore.db",
            "keystore.revision",
            "keystore.key",
            INTEGRITY_KEY,
            "tls",
            "journal",
            *self.secrets,
        )
        return [path for path in (self.config, *(self.directory / name for name in made)) if path.exists()]


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, for whoever goes on with it."""

    server: pki.Pair
    authority: pki.Pair
    link: str | None = None
    """With which the first person sets a password, once; told this one time."""


@dataclass(frozen=True, slots=True)
class Papers:
    """The authority of a deployment, and the certificate of its server."""

    authority: pki.Pair
    server: pki.Pair


def papers(
    deployment: str,
    certified: Sequence[str],
    *,
    now: datetime,
    authority_key: pki.KeyKind = "rsa-2048",
    server_key: Callable[[], pki.PrivateKey] | None = None,
) -> Papers:
    """Make both; ``certified`` is what the server is called."""
    authority = pki.make_authority(f"{deployment} authority", now=now, key=pki.make_key(authority_key))
    key = (server_key or server_key_of_own)()
    return Papers(authority, pki.issue_server(authority, certified, now=now, key=key))


def server_key_of_own() -> pki.PrivateKey:
    """RSA-2048, because vSphere's documents ask for RSA."""
    return pki.make_key("rsa-2048")


def make(
    plan: Plan,
    server_key: Callable[[], pki.PrivateKey] = server_key_of_own,
    *,
    shown: Papers | None = None,
    stage: Callable[[Stage], None] = lambda begun: None,
) -> Made:
    """Make everything; whatever fails, nothing half-made stays. The caller has seen that nothing is taken.

    ``shown``: authority and certificate that people have compared already. ``stage`` is told what is begun, and ends
    it all by raising.
    """
    new = [each for each in (plan.directory, plan.config.parent) if not each.is_dir()]
    try:
        plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan.config.parent.mkdir(parents=True, exist_ok=True)
        made = _make(plan, datetime.now(UTC), server_key, shown, stage)
        stage(Stage.MADE)
        return made
    except BaseException:
        for path in plan.taken():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in new:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _make(
    plan: Plan,
    now: datetime,
    server_key: Callable[[], pki.PrivateKey],
    shown: Papers | None,
    stage: Callable[[Stage], None],
) -> Made:
    stage(Stage.KEY_MANAGER)
    for name, secret in plan.secrets.items():
        files.create(plan.directory / name, secret.reveal())
    _make_key_manager(plan)
    stage(Stage.CATALOG)
    if not plan.catalog_url:
        SqliteCatalog.create(plan.directory / "catalog.db")
    load_or_make(plan.directory / SIGNING_KEY)
    stage(Stage.CERTIFICATES)
    issued = shown or papers(
        plan.deployment, plan.certified, now=now, authority_key=plan.authority_key, server_key=server_key
    )
    tls = plan.directory / "tls"
    tls.mkdir(mode=0o700)
    issued.authority.write(tls / "ca.pem", tls / "ca.key")
    issued.server.write(tls / "server.pem", tls / "server.key", issuer=issued.authority.certificate)
    stage(Stage.CONFIGURATION)
    pki.write_private(plan.config, configuration(plan).encode())
    if plan.catalog_url:
        # Before the first row is there, and again by every node that starts.
        asyncio.run(take_new(load(plan.config)))
    return Made(issued.server, issued.authority, _begin(plan, stage))


def _make_key_manager(plan: Plan) -> None:
    if plan.opener is None:
        KeyFile(plan.directory / INTEGRITY_KEY).create()
    else:
        if isinstance(plan.opener, KeyFile):
            plan.opener.create()
        EmbeddedKeyManager.create(plan.directory / "keystore", plan.opener).house.close()


def _begin(plan: Plan, stage: Callable[[Stage], None]) -> str | None:
    """Let the first person in, and make the first instance, as the plan says; the person's link, if any."""
    link = None
    if plan.first_person is not None:
        stage(Stage.PERSON)
        link = asyncio.run(enter_first_person(load(plan.config), plan.first_person, plan.by, plan.password))
    if plan.instance is not None:
        stage(Stage.INSTANCE)
        asyncio.run(_make_instance(plan, plan.instance))
    return link


async def _make_instance(plan: Plan, wanted: FirstInstance) -> None:
    # Only who begins with an instance waits for what serves one to be loaded.
    from keyrack.shell.office import open_office  # noqa: PLC0415

    def answer(question: "Question") -> Passphrase:
        assert isinstance(plan.opener, Passphrase), "nobody is asked for another opener"
        return Passphrase(Secret(bytearray(plan.opener.passphrase.reveal())))

    async with open_office(load(plan.config), plan.by, root_keys=True, ask=answer) as office:
        await office.administration.create_instance(wanted.name, root_key=wanted.root_key)


def configuration(plan: Plan) -> str:
    """The configuration file of a new deployment."""
    return _TEMPLATE.format(
        deployment=plan.deployment,
        directory=json.dumps(str(plan.directory)),  # JSON's escapes are TOML's.
        host=plan.host,
        port=plan.port,
        key_manager=plan.key_manager.strip(),
        api_enabled=str(plan.api_enabled).lower(),
        api_host=plan.api_host,
        api_port=plan.api_port,
        format=plan.log_format,
        level=plan.log_level,
        catalog=_catalog(plan),
    )


def _catalog(plan: Plan) -> str:
    if not plan.catalog_url:
        return 'url = "sqlite:///catalog.db"'
    return "\n".join(catalog_lines(plan.catalog_url, plan.catalog_password_file).values())


_TEMPLATE = """\
# Keyrack's configuration. Every key is described in docs/configuration.md; relative paths are relative to `directory`.

[deployment]
id = "{deployment}"            # bound into every wrapped key: never change it
directory = {directory}

[kmip]
host = "{host}"
port = {port}
certificate = "tls/server.pem"
key = "tls/server.key"

[catalog]
{catalog}

{key_manager}

[api]
enabled = {api_enabled}
host = "{api_host}"
port = {api_port}

[log]
level = "{level}"
format = "{format}"
"""


def embedded_tables(unlock: str, hsm: str = "") -> str:
    """The tables of an embedded key manager, in TOML, of its tables ``unlock`` and perhaps ``hsm``."""
    return f"""\
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = {unlock}
{hsm}"""


def own_names() -> list[str]:
    """Host names and addresses by which clients may know this machine; nothing is sent to find them."""
    names = dict.fromkeys(
        name for name in (socket.getfqdn(), socket.gethostname()) if "." in name or name != "localhost"
    )
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            # Connecting a datagram socket sends nothing; it makes the kernel choose the address to send from.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))
                names[probe.getsockname()[0]] = None
        except OSError:
            continue
    return [name for name in names if not name.startswith(("localhost", "127.", "::1"))] or ["localhost"]
