"""The configuration's tables of what others may look at: metrics and traces."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from keyrack.shell.config.key_managers import Table


def _network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise PydanticCustomError("network", "it is neither an address nor a network") from error
    return text


def _endpoint(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest or "@" in rest or any(each.isspace() for each in url):
        raise PydanticCustomError("endpoint", "it is no http or https address without a password in it")
    return url


def _listed(value: Any) -> Any:
    """An environment variable has no lists: there the texts stand with commas between them."""
    return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value


Network = Annotated[str, AfterValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_listed)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]


class Metrics(Table):
    """Metrics for Prometheus, at `/metrics` of the administration API. Who has the right `server.read` asks for them
    with an API key; who asks from one of these addresses, or has the token, needs none.
    """

    enabled: bool = Field(default=True, description="Whether they are answered at all.")
    allow: Networks = Field(
        default=("127.0.0.1", "::1"),
        description="Addresses and networks that may ask without a token; from this machine alone where it is left "
        "out. An empty list: none.",
        examples=[["127.0.0.1", "10.1.0.0/16"]],
    )
    token_file: Path | None = Field(
        default=None,
        description="File with a token of at least 20 characters that a Prometheus sends as `Authorization: Bearer`, "
        "mode 0600. Read at each request, so that it can be changed.",
    )

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Who may ask without a token."""
        return tuple(ip_network(each, strict=False) for each in self.allow)


class Tracing(Table):
    """Traces for OpenTelemetry: some requests, each with the time that it spent in commits and with key managers. They
    hold the names of operation, instance and outcome, and no key's identifier. It needs the extra `otel`.
    """

    enabled: bool = Field(default=False, description="Whether traces are sent.")
    endpoint: Endpoint = Field(
        default="http://127.0.0.1:4318/v1/traces", description="Where an OpenTelemetry collector takes OTLP over HTTP."
    )
    sample: float = Field(default=0.01, gt=0, le=1, description="Part of the requests that is traced; 1: each.")
