"""Makes a new deployment: directory, authority, server certificate, keystore, catalog and configuration, or nothing."""

import asyncio
import json
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.journals.signing import load_or_make
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.embedded.root_keys.unlock import KeyFile, Unlock
from keyrack.service.office.administration import Administrator
from keyrack.shell import pki
from keyrack.shell.config.journal import JournalTable
from keyrack.shell.config.rewriting import catalog_lines
from keyrack.shell.config.whole import load
from keyrack.shell.first_person import enter_first_person
from keyrack.shell.nodes.new_catalog import take_new

SIGNING_KEY = JournalTable().signing_key
"""The file of the key that signs the journal's checkpoints."""
INTEGRITY_KEY = "integrity.key"
"""The file of the integrity root, of a deployment without an embedded key manager."""


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
    first_person: str | None = None
    """Name of the first person; without it there is nobody yet."""
    by: Administrator = Administrator("local-user-unknown")
    """Who makes it, as the journal names it."""
    api_host: str = "127.0.0.1"
    api_port: int = 8443
    """Where the administration API listens."""
    api_enabled: bool = True
    catalog_url: str = ""
    """A prepared PostgreSQL database; empty: a SQLite file is made."""
    catalog_password_file: Path | None = None

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
        )
        return [path for path in (self.config, *(self.directory / name for name in made)) if path.exists()]


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, for whoever goes on with it."""

    server: pki.Pair
    authority: pki.Pair
    link: str | None = None
    """With which the first person sets a password, once; told this one time."""


def server_key_of_own() -> pki.PrivateKey:
    """RSA-2048, because vSphere's documents ask for RSA."""
    return pki.make_key("rsa-2048")


def make(plan: Plan, server_key: Callable[[], pki.PrivateKey] = server_key_of_own) -> Made:
    """Make everything; whatever fails, nothing half-made stays. The caller has seen that nothing is taken."""
    there_before = plan.directory.is_dir()
    try:
        plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan.config.parent.mkdir(parents=True, exist_ok=True)
        return _make(plan, datetime.now(UTC), server_key)
    except BaseException:
        for path in plan.taken():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not there_before:
            shutil.rmtree(plan.directory, ignore_errors=True)
        raise


def _make(plan: Plan, now: datetime, server_key: Callable[[], pki.PrivateKey]) -> Made:
    if plan.opener is None:
        KeyFile(plan.directory / INTEGRITY_KEY).create()
    else:
        if isinstance(plan.opener, KeyFile):
            plan.opener.create()
        EmbeddedKeyManager.create(plan.directory / "keystore", plan.opener).house.close()
    if not plan.catalog_url:
        SqliteCatalog.create(plan.directory / "catalog.db")
    load_or_make(plan.directory / SIGNING_KEY)
    tls = plan.directory / "tls"
    tls.mkdir(mode=0o700)
    authority = pki.make_authority(f"{plan.deployment} authority", now=now, key=pki.make_key(plan.authority_key))
    authority.write(tls / "ca.pem", tls / "ca.key")
    server = pki.issue_server(authority, plan.certified, now=now, key=server_key())
    server.write(tls / "server.pem", tls / "server.key", issuer=authority.certificate)
    pki.write_private(plan.config, configuration(plan).encode())
    link = None
    if plan.catalog_url:
        # Before the first row is there, and again by every node that starts.
        asyncio.run(take_new(load(plan.config)))
    if plan.first_person is not None:
        link = asyncio.run(enter_first_person(load(plan.config), plan.first_person, plan.by))
    return Made(server, authority, link)


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
level = "info"
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
