"""The configuration: one TOML file, every key of it overridden by one environment variable, frozen once read.

``[kmip] port`` is overridden by ``KEYRACK_KMIP__PORT``: two underscores lead into a table. Relative paths are relative
to ``deployment.directory``, and that one to the file itself. The models are the reference: their descriptions are
printed in ``docs/configuration.md``.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from keyrack.shell.config.api import Api, Host
from keyrack.shell.config.backup import BackupTable
from keyrack.shell.config.catalog import SQLITE, CatalogTable, own_name
from keyrack.shell.config.ibm import HpcsTable, IbmTable, KeyProtectTable
from keyrack.shell.config.journal import JournalTable
from keyrack.shell.config.key_managers import Credential, EmbeddedKeyManagerTable, KeyManagerTable, Name, Table
from keyrack.shell.config.problems import ConfigError, Problem, mistake, problems_of
from keyrack.shell.config.telemetry import Metrics, Tracing

ADDRESS_FILE = "kmip.address"
API_ADDRESS_FILE = "key-manager.address"
WEB_ADDRESS_FILE = "api.address"
"""Names of the files in the run directory that hold host and port, of a running KMIP server, of a running key
manager's API and of a running administration API."""


class Deployment(Table):
    """Whose server this is."""

    id: Name = Field(
        description="Name of this deployment. It is bound into every wrapped key: never change it once keys exist.",
        examples=["keyrack-1"],
    )
    directory: Path = Field(
        default=Path(),
        description="Where everything else lives that is given as a relative path; relative to this file itself.",
        examples=["/var/lib/keyrack"],
    )
    node: Name = Field(
        default_factory=own_name,
        description="Name of this endpoint among those that share a catalog; each has its own. The host's name, "
        "unless it is given.",
        examples=["node-1"],
    )


class Limits(Table):
    """What a client may ask for before and after it is known."""

    handshake_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        description="Time for the whole TLS handshake, and for the first whole message header.",
    )
    message_bytes: int = Field(
        default=65_536, ge=1024, le=1_048_576, description="Longest request. The longest of a vCenter has 536 bytes."
    )
    message_seconds: float = Field(
        default=10, gt=0, le=300, description="Time for the rest of a message, once its first byte has come."
    )
    batch_items: int = Field(default=64, ge=1, le=1000, description="Most batch items in one request.")
    connections: int = Field(default=4096, ge=1, le=100_000, description="Most connections at one time, in all.")
    connections_per_address: int = Field(
        default=2048,
        ge=1,
        le=100_000,
        description="Most connections at one time from one address. All hosts behind one NAT share one.",
    )


class Kmip(Table):
    """The KMIP listener."""

    host: Host = Field(
        default="0.0.0.0",
        description='Address to listen on; "::" listens on IPv6 and IPv4, "127.0.0.1" for this machine alone.',
    )
    port: int = Field(default=5696, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    certificate: Path = Field(
        default=Path("tls/server.pem"),
        description="Server certificate in PEM, followed by its issuers if there are any. vCenter pins it.",
    )
    key: Path = Field(
        default=Path("tls/server.key"), description="Its private key in PEM, without passphrase, mode 0600."
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that serve; at most one for each core is of use."
    )
    expired_clients: Literal["warn", "refuse"] = Field(
        default="warn",
        description="What happens to a client whose pinned certificate has expired or is not yet valid. A lapsed "
        "certificate that is refused keeps hosts from starting.",
    )
    legacy_rsa_kx: bool = Field(
        default=False,
        description="Also offer TLS 1.2 suites without forward secrecy, for clients that know nothing else.",
    )
    limits: Limits = Field(default_factory=Limits)


class Cache(Table):
    """Unwrapped keys in memory, which are what most clients are answered from."""

    mode: Literal["lease", "off"] = Field(
        default="lease",
        description='"lease" serves them as long as the lease of their root key holds; "off" unwraps for each Get.',
    )
    entry_hours: float = Field(
        default=8, ge=1 / 60, le=24, description="Longest time until a key is unwrapped anew, whatever the lease says."
    )
    most_keys: int = Field(default=200_000, ge=1, le=10_000_000, description="Most unwrapped keys at one time.")


class Keys(Table):
    """What becomes of destroyed keys. A client cannot tell whether one is still to be had back."""

    destroy_days: int = Field(
        default=30,
        ge=7,
        le=90,
        description="Days for which a destroyed key can be recovered; then the server purges it for good.",
    )
    purge_hours: float = Field(
        default=4, ge=0, le=168, description="Hours after its destruction before which nobody can purge a key."
    )


class Integrity(Table):
    """The deployment's integrity root: what wrapped keys are authenticated with, whichever root key wraps them.
    Exactly one of the two. Without this table it is derived from the first embedded key manager.
    """

    key_file: Path | None = Field(
        default=None, description="File of 32 random bytes, mode 0600; keep a copy apart from the catalog's."
    )
    credential: Credential | None = Field(
        default=None,
        description="Name of a credential of systemd, a file of 32 random bytes under $CREDENTIALS_DIRECTORY.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "Integrity":
        if (self.key_file is None) == (self.credential is None):
            told = "exactly one of key_file and credential says where the integrity root is"
            raise mistake(told, 'write for example key_file = "integrity.key"')
        return self


class KeyManagerApi(Table):
    """The HTTPS listener of the embedded key manager, for IBM Key Protect's own clients: API v2 and IAM tokens."""

    enabled: bool = Field(default=False, description="Whether `keyrack serve` opens it beside KMIP.")
    host: Host = Field(
        default="127.0.0.1", description='Address to listen on; "127.0.0.1" for this machine alone, "::" for all.'
    )
    port: int = Field(default=8444, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    certificate: Path = Field(
        default=Path("tls/server.pem"), description="Its certificate in PEM, followed by its issuers if there are any."
    )
    key: Path = Field(
        default=Path("tls/server.key"), description="Its private key in PEM, without passphrase, mode 0600."
    )
    network: Literal["private", "public"] = Field(
        default="private",
        description="The network that its callers count as coming from, for an instance's policy allowedNetwork.",
    )


class Log(Table):
    """What is told about the work, on standard error. Never a key, a password or the bytes of a message."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least weight that is told."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description='"json" for machines, "console" for people; "auto" sees whether a terminal listens.'
    )


AnyKeyManagerTable = Annotated[EmbeddedKeyManagerTable | KeyProtectTable | HpcsTable, Field(discriminator="type")]
KEY_MANAGER_TABLES: Final[Mapping[str, type[KeyManagerTable]]] = {
    "embedded": EmbeddedKeyManagerTable,
    "key_protect": KeyProtectTable,
    "hpcs": HpcsTable,
}
"""The tables of a key manager by its ``type``."""


class Config(Table):
    """Everything that is configured."""

    deployment: Deployment
    kmip: Kmip = Field(default_factory=Kmip)
    catalog: CatalogTable = Field(default_factory=CatalogTable)
    key_managers: Annotated[dict[Name, AnyKeyManagerTable], Field(min_length=1)] = Field(
        description="Key managers by name; an instance names the one that it uses."
    )
    integrity: Integrity | None = Field(default=None, description="The deployment's integrity root.")
    cache: Cache = Field(default_factory=Cache)
    keys: Keys = Field(default_factory=Keys)
    key_manager_api: KeyManagerApi = Field(default_factory=KeyManagerApi)
    api: Api = Field(default_factory=Api)
    journal: JournalTable = Field(default_factory=JournalTable)
    backup: BackupTable = Field(default_factory=BackupTable)
    log: Log = Field(default_factory=Log)
    metrics: Metrics = Field(default_factory=Metrics)
    tracing: Tracing = Field(default_factory=Tracing)

    @model_validator(mode="after")
    def _integrity_is_somewhere(self) -> "Config":
        if self.integrity is None and not self.embedded:
            raise mistake(
                "none of its key managers is an embedded one, and there is no table [integrity]: wrapped keys would "
                "have nothing to be authenticated with",
                "make one with '(umask 077; head -c 32 /dev/urandom > integrity.key)' and write "
                "[integrity] and key_file = \"integrity.key\", as 'keyrack init --key-manager key-protect' does",
            )
        return self

    @model_validator(mode="after")
    def _api_has_something_to_serve(self) -> "Config":
        if self.key_manager_api.enabled and not self.embedded:
            raise mistake(
                "key_manager_api.enabled opens the API of an embedded key manager, and none is configured",
                "write enabled = false: IBM serves the API of its key managers itself",
            )
        return self

    @property
    def embedded(self) -> Mapping[str, EmbeddedKeyManagerTable]:
        """The embedded key managers by name."""
        return {name: each for name, each in self.key_managers.items() if isinstance(each, EmbeddedKeyManagerTable)}

    @property
    def of_ibm(self) -> Mapping[str, IbmTable]:
        """The key managers of IBM's by name."""
        return {name: each for name, each in self.key_managers.items() if isinstance(each, IbmTable)}

    @property
    def directory(self) -> Path:
        """The deployment's directory, absolute."""
        return self.deployment.directory

    def path(self, relative: Path) -> Path:
        """A configured path, made absolute."""
        return self.directory / relative.expanduser()

    @property
    def catalog_path(self) -> Path | None:
        """The file of the SQLite catalog, absolute; ``None`` where the catalog is in PostgreSQL."""
        url = self.catalog.url
        return self.path(Path(url.removeprefix(SQLITE))) if url.startswith(SQLITE) else None

    @property
    def run_directory(self) -> Path:
        """Where a running server tells its address and process."""
        return self.directory / "run"


def candidates(environ: Mapping[str, str]) -> list[Path]:
    """Where a configuration is looked for, first one wins."""
    home = Path(environ.get("HOME", "/"))
    named = [Path(environ["KEYRACK_CONFIG"])] if environ.get("KEYRACK_CONFIG") else []
    return [*named, Path("keyrack.toml"), home / ".config/keyrack/keyrack.toml", Path("/etc/keyrack/keyrack.toml")]


def find(explicit: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file to use: the one that was named, else the first of :func:`candidates` that is there."""
    if explicit is not None:
        return explicit
    looked = candidates(environ)
    # One that was named by the environment counts even where it is not there: silently taking another would be worse.
    for path in looked:
        if path.is_file() or str(path) == environ.get("KEYRACK_CONFIG"):
            return path
    raise ConfigError(
        [
            Problem(
                where="keyrack.toml",
                what="no configuration was found",
                why="looked for " + ", ".join(str(path) for path in looked),
                instead="make one with 'keyrack init', or in a browser with 'keyrack setup'; or name it with --config "
                "FILE",
            )
        ]
    )


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, override and check a configuration; raises :class:`ConfigError` with every mistake in it."""
    table = _read(path)
    sources = _override(table, environ)
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError(problems_of(error, str(path), sources)) from None
    base = path.expanduser().absolute().parent
    deployment = config.deployment.model_copy(update={"directory": base / config.deployment.directory.expanduser()})
    return config.model_copy(update={"deployment": deployment})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = Problem(
            where=str(path),
            what="it cannot be read",
            why=(error.strerror or "unknown").lower(),
            instead="make one with 'keyrack init', or in a browser with 'keyrack setup'; or name another with --config "
            "FILE",
        )
    except UnicodeDecodeError as error:
        problem = Problem(
            where=str(path), what="it is not text", why=f"byte {error.start} is not UTF-8", instead="save it as UTF-8"
        )
    except tomllib.TOMLDecodeError as error:
        problem = Problem(
            where=_where_in(path, str(error)),
            what="it is not TOML",
            why=re.sub(r" \(at .*\)$", "", str(error)).lower(),
            instead='write for example port = 5696, host = "0.0.0.0", and tables as [kmip]',
        )
    raise ConfigError([problem])


def _where_in(path: Path, message: str) -> str:
    place = re.search(r"line (\d+), column (\d+)", message)
    return f"{path}:{place[1]}:{place[2]}" if place else str(path)


def _override(table: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Write the environment's values into ``table``; answers which variable each overridden key came from."""
    sources: dict[tuple[str, ...], str] = {}
    for variable, value in sorted(environ.items()):
        if not variable.startswith("KEYRACK_") or "__" not in variable:
            continue
        location = tuple(variable.removeprefix("KEYRACK_").lower().split("__"))
        here = table
        for name in location[:-1]:
            inner = here.setdefault(name, {})
            here = inner if isinstance(inner, dict) else {}
        here[location[-1]] = value
        sources[location] = variable
    return sources
