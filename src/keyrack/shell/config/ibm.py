"""The configuration's tables of IBM's key managers: where an instance is, how it is reached, and who asks there.

What a customer can get wrong is refused here, before anything is asked or written, with IBM's word for it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from keyrack.adapters.key_managers.ibm.settings import (
    HPCS,
    KEY_PROTECT,
    PRIVATE,
    PUBLIC,
    REGIONS,
    iam_url_of,
    url_of,
)
from keyrack.shell.config.key_managers import Credential, KeyManagerTable, Table
from keyrack.shell.config.problems import mistake

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_API_KEY: Final = re.compile(r"[A-Za-z0-9_-]{44}")
_RING: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,99}")
_WAYS: Final = ("api_key_file", "api_key_credential", "trusted_profile", "token_file")


def _instance(text: str) -> str:
    if _UUID.fullmatch(text):
        return text.lower()
    instead = (
        "write the instance's ID, which IBM also calls GUID: 'ibmcloud resource service-instance NAME' prints it, and "
        "the console shows it in the instance's details"
    )
    if text.startswith("crn:"):
        found = _UUID.search(text.rpartition("/")[2])
        raise mistake(
            "it is a whole CRN, and the instance's ID is one part of it",
            f'write instance = "{found[0].lower()}"' if found else instead,
        )
    raise mistake("it is not a UUID", instead)


def _url(text: str) -> str:
    """The address of an API: https alone, a host and perhaps a port, and nothing behind them."""
    instead = 'write for example url = "https://private.eu-de.kms.cloud.ibm.com"'
    parts, port = _split(text)
    if parts is None:
        raise mistake("it is not an address", instead)
    if parts.scheme == "http":
        raise mistake("http does not hide API keys and tokens; IBM's endpoints speak https alone", instead)
    if parts.scheme != "https" or not parts.hostname:
        raise mistake("it is not an address that begins with https://", instead)
    if parts.username is not None or parts.password is not None:
        raise mistake("an address with a user or a password in it", f"{instead}; who asks is said in iam", secret=True)
    whole = f"https://{_bracketed(parts.hostname)}" + (f":{port}" if port is not None else "")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise mistake("something follows host and port, and paths such as /api/v2 are added here", f'write "{whole}"')
    return whole


def _proxy(text: str) -> str:
    instead = 'write for example proxy = "http://proxy.example.com:3128"'
    parts, port = _split(text)
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise mistake("it is not the address of an HTTP proxy; what goes through it is TLS all the same", instead)
    if parts.username is not None or parts.password is not None:
        told = "it has a user or a password in it, and none stands in a configuration"
        raise mistake(told, f"{instead}, and let the proxy know this machine by its address", secret=True)
    if port is None or parts.path.strip("/") or parts.query or parts.fragment:
        raise mistake("a proxy is a host and a port, and nothing else", instead)
    return f"http://{_bracketed(parts.hostname)}:{port}"


def _split(text: str) -> tuple[SplitResult | None, int | None]:
    try:
        parts = urlsplit(text)
        return (None if any(each.isspace() for each in text) else parts), parts.port
    except ValueError:
        return None, None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ring(text: str) -> str:
    if not _RING.fullmatch(text):
        raise mistake(
            "it is not the ID of a key ring: 2 to 100 letters, digits and hyphens",
            "write the ID that 'ibmcloud kp key-rings' shows, or leave it out for \"default\"",
        )
    return text


def _no_key_itself(path: Path) -> Path:
    if _API_KEY.fullmatch(str(path)):
        raise mistake(
            "it looks like an API key itself, and none stands in a configuration",
            'write the key into a file with mode 0600 and its path here, such as api_key_file = "ibm.key"; and since '
            "this file has held it, make another key",
            secret=True,
        )
    return path


Url = Annotated[str, AfterValidator(_url)]
SecretFile = Annotated[Path, AfterValidator(_no_key_itself)]


class Iam(Table):
    """Who asks, as IBM's IAM knows it.
    Exactly one of `api_key_file`, `api_key_credential`, `trusted_profile` and `token_file`.
    """

    url: Url | None = Field(
        default=None,
        description=f"Address of IAM; without it `{iam_url_of(PRIVATE)}` where the key manager is reached by the "
        f"private network, else `{iam_url_of(PUBLIC)}`.",
    )
    api_key_file: SecretFile | None = Field(
        default=None, description="File whose first line is the API key of a service ID; mode 0600."
    )
    api_key_credential: Credential | None = Field(
        default=None, description="Name of a credential of systemd whose first line is the API key of a service ID."
    )
    trusted_profile: str | None = Field(
        default=None,
        min_length=1,
        description="ID of a trusted profile, `Profile-…`; `cr_token_file` proves which compute resource asks.",
    )
    cr_token_file: Path | None = Field(
        default=None,
        description="File of the compute resource's token, which its platform keeps fresh; goes with "
        "`trusted_profile`.",
    )
    token_file: Path | None = Field(
        default=None, description="File of an IAM access token that somebody else keeps fresh; mode 0600."
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Iam":
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            raise mistake(
                f"it names {' and '.join(given) if given else 'no way'} to prove who asks, and exactly one is needed",
                'write for example api_key_file = "ibm.key", the API key of a service ID',
            )
        if (self.trusted_profile is None) != (self.cr_token_file is None):
            raise mistake(
                "trusted_profile and cr_token_file go together: IBM wants the compute resource's token for the profile",
                'write for example trusted_profile = "Profile-…" and cr_token_file = '
                '"/var/run/secrets/tokens/vault-token"',
            )
        return self

    @property
    def kind(self) -> str:
        """How people call the way in which it proves who asks."""
        kinds = {
            "api_key_file": "API key in a file",
            "api_key_credential": "API key as a credential of systemd",
            "trusted_profile": "trusted profile",
            "token_file": "token in a file",
        }
        return next(told for name, told in kinds.items() if getattr(self, name) is not None)


class Deleting(Iam):
    """Who deletes standard keys, where that is not who does everything else: it needs the role Manager, and the one in
    `iam` no more than Writer. Keys as in `iam`, whose `url` counts here too.
    """


class IbmTable(KeyManagerTable):
    """What Key Protect and Hyper Protect Crypto Services have in common."""

    product: ClassVar[str]
    """How IBM calls the service."""
    kind: ClassVar[str]
    """How its addresses are made."""
    region: str | None = Field(default=None, description="IBM's region, such as `eu-de`; or `url`.", examples=["eu-de"])
    network: Literal["private", "public"] | None = Field(
        default=None, description='Which of the region\'s two addresses is used; `"private"` without it.'
    )
    url: Url | None = Field(
        default=None,
        description="Address of the API: `https://host` or `https://host:port`, for a VPE, a dedicated instance, or "
        "one whose address does not follow from the region.",
    )
    instance: Annotated[str, AfterValidator(_instance)] = Field(
        description="ID of the service instance, a UUID; IBM also calls it GUID.",
        examples=["6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"],
    )
    key_ring: Annotated[str, AfterValidator(_ring)] = Field(
        default="default", description="ID of the key ring that standard keys are made in."
    )
    ca_bundle: Path | None = Field(
        default=None,
        description="PEM file of the authorities that are trusted, in the place of the system's; for a proxy that "
        "looks into TLS, or a test.",
    )
    proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(
        default=None, description="HTTP proxy `http://host:port` that tunnels to IBM (CONNECT)."
    )
    connections: int = Field(default=16, ge=1, le=256, description="Most calls at one time; more wait.")
    connect_seconds: float = Field(
        default=1, gt=0, le=30, description="Time in which a connection and its TLS handshake are made."
    )
    answer_seconds: float = Field(
        default=1.5, gt=0, le=30, description="Time of a call that reads, wraps or unwraps, with all its retries."
    )
    write_seconds: float = Field(
        default=5, gt=0, le=60, description="Time of a call that makes or deletes a key, with all its retries."
    )
    iam: Iam = Field(description="Who asks.")
    deleting: Deleting | None = Field(default=None, description="Who deletes, if that is another identity.")

    @model_validator(mode="after")
    def _one_address(self) -> "IbmTable":
        if (self.region is None) == (self.url is None):
            raise mistake(
                "it says where the instance is by both region and url, and exactly one is needed"
                if self.region is not None
                else "it does not say where the instance is: neither region nor url",
                'write region = "eu-de", or url = "https://…" as the instance\'s details in the console show it',
            )
        if self.url is not None and self.network is not None:
            raise mistake(
                "network chooses between a region's two addresses, and url is an address already",
                "leave network out, or write region in the place of url",
            )
        return self

    @property
    def address(self) -> str:
        """Where the API is: https, host, and a port where it is not 443."""
        if self.url is not None:
            return self.url
        return url_of(self.kind, region=self.region or "", network=self.network or PRIVATE, instance=self.instance)

    @property
    def private(self) -> bool:
        """Whether it is reached by IBM's private network."""
        if self.url is None:
            return self.network != PUBLIC
        return "private" in (urlsplit(self.url).hostname or "").split(".")

    @property
    def identities(self) -> list[Iam]:
        """As whom it is asked: one, or a second one that deletes."""
        return [iam for iam in (self.iam, self.deleting) if iam is not None]

    def iam_address(self, iam: Iam) -> str:
        """Where IAM is for one of its two identities: they have one IAM, unless the second names another."""
        return iam.url or self.iam.url or iam_url_of(PRIVATE if self.private else PUBLIC)


def _region(text: str, known: Sequence[str], product: str, otherwise: str) -> str:
    if text not in known:
        raise mistake(f"it is none of the regions of {product}", f"write one of {', '.join(known)}; {otherwise}")
    return text


class KeyProtectTable(IbmTable):
    """IBM Key Protect: root keys, and with them wrapped keys, in an instance of the customer's own."""

    product: ClassVar[str] = "IBM Key Protect"
    kind: ClassVar[str] = KEY_PROTECT
    type: Literal["key_protect"] = Field(description="The kind of key manager.")

    @field_validator("region")
    @classmethod
    def _known(cls, region: str | None) -> str | None:
        if region is None:
            return None
        otherwise = 'or url = "https://…" for a region that is newer than this list'
        return _region(region, REGIONS[KEY_PROTECT], "Key Protect", otherwise)

    @field_validator("url")
    @classmethod
    def _own(cls, url: str | None) -> str | None:
        if "hs-crypto" in (url or ""):
            raise mistake("it is an address of Hyper Protect Crypto Services", 'write type = "hpcs", or another url')
        return url


class HpcsTable(IbmTable):
    """IBM Hyper Protect Crypto Services: the same API, with root keys under the customer's own master key."""

    product: ClassVar[str] = "IBM Hyper Protect Crypto Services"
    kind: ClassVar[str] = HPCS
    type: Literal["hpcs"] = Field(description="The kind of key manager.")

    @field_validator("region")
    @classmethod
    def _known(cls, region: str | None) -> str | None:
        if region is None:
            return None
        otherwise = "or the url of an older instance, which has a port of its own"
        return _region(region, REGIONS[HPCS], "Hyper Protect Crypto Services", otherwise)

    @field_validator("url")
    @classmethod
    def _own(cls, url: str | None) -> str | None:
        if ".kms." in (url or ""):
            raise mistake("it is an address of Key Protect", 'write type = "key_protect", or another url')
        return url
