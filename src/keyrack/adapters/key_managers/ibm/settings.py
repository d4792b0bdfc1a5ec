"""What is configured of one instance of IBM Key Protect or HPCS, and the addresses that IBM gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

KEY_PROTECT: Final = "key_protect"
DEDICATED: Final = "dedicated"
HPCS: Final = "hpcs"
PRIVATE: Final = "private"
PUBLIC: Final = "public"

_EVERYWHERE: Final = (
    ("us-south", "us-east", "ca-tor", "ca-mon", "br-sao", "eu-gb", "eu-de", "eu-es")
    + ("au-syd", "jp-tok", "jp-osa", "in-che", "in-mum")
)  # fmt: skip
REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    KEY_PROTECT: _EVERYWHERE,
    DEDICATED: _EVERYWHERE,
    HPCS: ("us-south", "us-east", "ca-tor", "br-sao", "eu-gb", "eu-de", "eu-es", "jp-tok"),
}
"""Where each kind is offered under a name that can be told from region and instance.

Instances of HPCS that are older than 2024 have a port of their own: those are configured by their URL.
"""

_URLS: Final[Mapping[tuple[str, str], str]] = {
    (KEY_PROTECT, PUBLIC): "https://{region}.kms.cloud.ibm.com",
    # A virtual private endpoint (VPE) has the same name: DNS within the VPC answers with its address.
    (KEY_PROTECT, PRIVATE): "https://private.{region}.kms.cloud.ibm.com",
    (DEDICATED, PUBLIC): "https://{instance}.api.{region}.kms.appdomain.cloud",
    (DEDICATED, PRIVATE): "https://{instance}.api.private.{region}.kms.appdomain.cloud",
    (HPCS, PUBLIC): "https://{instance}.api.{region}.hs-crypto.appdomain.cloud",
    (HPCS, PRIVATE): "https://{instance}.api.private.{region}.hs-crypto.appdomain.cloud",
}
_IAM_URLS: Final[Mapping[str, str]] = {
    PUBLIC: "https://iam.cloud.ibm.com",
    PRIVATE: "https://private.iam.cloud.ibm.com",
}


def url_of(kind: str, *, region: str, network: str = PRIVATE, instance: str = "") -> str:
    """The address of a ``key_protect``, ``dedicated`` or ``hpcs`` instance in a region, on one of the two networks.

    ``instance`` is part of the name of the last two. Raises :class:`ValueError` that says what there is instead.
    """
    if kind not in REGIONS:
        raise ValueError(f"there is no kind {kind!r}: {', '.join(REGIONS)}")
    if network not in _IAM_URLS:
        raise ValueError(f"there is no network {network!r}: {', '.join(_IAM_URLS)}")
    if region not in REGIONS[kind]:
        raise ValueError(
            f"{region!r} is no region of {kind} that Keyrack knows ({', '.join(REGIONS[kind])}); "
            "for another one, or an instance with a port of its own, give `url` in the place of `region`"
        )
    template = _URLS[kind, network]
    if "{instance}" in template and not instance:
        raise ValueError(f"the address of {kind} in a region is made of the instance's identifier, and none is given")
    return template.format(region=region, instance=instance)


def iam_url_of(network: str) -> str:
    """IBM Cloud's identity service as it is reached from a network; raises :class:`ValueError`."""
    if network not in _IAM_URLS:
        raise ValueError(f"there is no network {network!r}: {', '.join(_IAM_URLS)}")
    return _IAM_URLS[network]


@dataclass(frozen=True, slots=True)
class Origin:
    """A host and a port, which answer HTTP."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str, scheme: str = "https") -> "Origin":
        """The origin that ``url`` names; raises :class:`ValueError` for anything but ``scheme://host[:port]``."""
        parts = urlsplit(url)
        wrong = f"{url!r} must be {scheme}://host or {scheme}://host:port, and nothing else"
        if parts.scheme != scheme or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(wrong)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(wrong)
        try:
            port = parts.port
        except ValueError:
            raise ValueError(wrong) from None
        return cls(parts.hostname, port or (443 if scheme == "https" else 8080))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of a service ID: the first line of a file, which is read again for each token."""

    file: Path


@dataclass(frozen=True, slots=True)
class TrustedProfile:
    """A trusted profile of a compute resource, and the file in which the platform keeps the resource's token."""

    profile: str
    """Its identifier, ``Profile-…``; any other text is taken as its name."""
    cr_token_file: Path


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file with an access token, which somebody else keeps fresh."""

    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class IamSettings:
    """As whom Keyrack speaks to a key manager, and where the token for it comes from."""

    source: ApiKey | TrustedProfile | TokenFile
    url: str = _IAM_URLS[PUBLIC]
    """``https://host[:port]`` of the identity service; not asked with a :class:`TokenFile`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One configured key manager. Times in seconds; plain values, checked where they are used."""

    name: str
    """As the configuration calls it: for messages and the names of threads."""
    url: str
    """``https://host[:port]``, as :func:`url_of` tells it or as it is configured."""
    instance: str
    """The UUID of the instance, which goes into the header Bluemix-Instance."""
    iam: IamSettings
    deleting: IamSettings | None = None
    """Another identity for the deletion of standard keys alone, which needs the role Manager."""
    key_ring: str = "default"
    ca_bundle: Path | None = None
    """PEM certificates to trust; ``None``: those that the operating system trusts."""
    proxy: str | None = None
    """``http://host:port`` of a proxy that is asked to CONNECT."""
    connections: int = 16
    """Connections at most, and calls that are under way at one time."""
    waiting: int = 64
    """Calls that wait for their turn; one more is refused at once."""
    answer_seconds: float = 1.5
    """For a call that reads, wraps or unwraps: from its beginning to its end, repetitions included."""
    write_seconds: float = 5.0
    """The same of a call that changes something."""
    connect_seconds: float = 1.0
    """To open a connection, TLS included; within the time of the call."""
