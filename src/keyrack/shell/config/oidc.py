"""The configuration's table of log-in by OpenID Connect."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from keyrack.shell.config.key_managers import Table


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise PydanticCustomError("https", "it is not an https URL without query, fragment and user")
    return url


class OidcGrant(Table):
    """A role that a claim of the token gives; the provider is then the one who says who may what."""

    value: str = Field(
        min_length=1, max_length=200, description="One value of the claim `roles_claim`, for example a group's name."
    )
    role: Literal["viewer", "auditor", "operator", "security-officer", "administrator"] = Field(
        description="The role that it gives."
    )
    instance: str | None = Field(default=None, description="Over this instance alone; everywhere without it.")


class Oidc(Table):
    """Log-in at a provider of OpenID Connect, beside passwords. There, a second factor can be asked for."""

    issuer: Annotated[str, AfterValidator(_https)] = Field(
        description="The provider, exactly as its tokens name it in `iss`.",
        examples=["https://login.example.com/realm"],
    )
    client_id: str = Field(min_length=1, max_length=256, description="What Keyrack is called there.")
    client_secret_file: Path | None = Field(
        default=None, description="File whose first line is the client's secret, mode 0600; none for a public client."
    )
    ca_bundle: Path | None = Field(
        default=None, description="Authorities in PEM that certify the provider; without it, those of the system."
    )
    scopes: str = Field(default="openid profile email", description="What is asked for; `openid` has to be in it.")
    name_claim: str = Field(
        default="preferred_username",
        description="The claim that a new person's name is made of. It is for people's eyes: `iss` and `sub` decide.",
    )
    auto_create: bool = Field(
        default=False,
        description="Whether somebody unknown becomes a person at the first log-in; without it, only who was added "
        "with `keyrack person add NAME --subject SUB`.",
    )
    roles_claim: str | None = Field(
        default=None,
        description="The claim whose values give roles, by `grants`; with it, roles are set anew at each log-in.",
    )
    grants: list[OidcGrant] = Field(default=[], max_length=200, description="Which value gives which role.")
    timeout_seconds: float = Field(default=10, ge=1, le=60, description="Longest time for one call to the provider.")
