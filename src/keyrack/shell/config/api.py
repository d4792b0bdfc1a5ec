"""The configuration's table of the administration API."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from keyrack.shell.config.key_managers import Table
from keyrack.shell.config.oidc import Oidc


def _no_wildcard(host: str) -> str:
    if not host or any(character.isspace() for character in host) or "*" in host:
        raise PydanticCustomError("host", "it is neither an address nor a host name")
    return host


def _listed(value: Any) -> Any:
    """An environment variable has no lists: there the names stand with commas between them."""
    return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value


Host = Annotated[str, AfterValidator(_no_wildcard)]
Hosts = Annotated[tuple[Host, ...], BeforeValidator(_listed)]


class Api(Table):
    """The HTTPS listener of the administration API, in a process of its own that holds no key manager."""

    enabled: bool = Field(default=False, description="Whether there is an administration API.")
    start: bool = Field(
        default=True,
        description="Whether `keyrack serve` starts its process; false where `keyrack web` is a service of its own.",
    )
    host: Host = Field(
        default="127.0.0.1", description='Address to listen on; "127.0.0.1" for this machine alone, "::" for all.'
    )
    port: int = Field(default=8443, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    certificate: Path | None = Field(
        default=None,
        description="Its certificate in PEM, followed by its issuers if there are any; without it `kmip.certificate`.",
    )
    key: Path | None = Field(
        default=None, description="Its private key in PEM, without passphrase, mode 0600; without it `kmip.key`."
    )
    hosts: Hosts = Field(
        default=(),
        description="Names by which it is called, beside those in its certificate. Another name is refused.",
    )
    session_minutes: int = Field(
        default=15, ge=1, le=1440, description="Time after the last request when a log-in is over."
    )
    session_hours: int = Field(default=12, ge=1, le=168, description="Time after which a log-in is over in any case.")
    requests_per_second: int = Field(
        default=50,
        ge=1,
        le=100_000,
        description="Requests of one person, and of one address; six times as many at once. More are answered 429.",
    )
    readiness_seconds: int = Field(
        default=15,
        ge=6,
        le=300,
        description="Oldest unwrap that `/health/ready` counts: each serving process tries one when asked.",
    )
    oidc: Oidc | None = Field(default=None, description="Log-in by OpenID Connect.")
