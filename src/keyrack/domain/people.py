"""People who administer Keyrack, and what they prove themselves with."""

from dataclasses import dataclass, field
from typing import Final

from keyrack.domain.rights import Grant, Grants, Role

LOCAL: Final = "local"
"""Where a person comes from whose password is kept here; else it is the issuer of an OIDC log-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may log in. Whoever was removed stays as a row, so that the journal's name is never given again."""

    identifier: str
    """A UUID, never used again."""
    name: str
    """Unique, in lower case: what is typed at log-in, and the journal's ``person-<name>``."""
    source: str = LOCAL
    """:data:`LOCAL`, or the issuer whose tokens mean this person."""
    subject: str = ""
    """The ``sub`` of that issuer's tokens; empty for local people."""
    password: str = field(default="", repr=False)
    """Encoded argon2id hash; empty where no password lets anybody in."""
    grants: frozenset[Grant] = frozenset()
    created_at: int
    """Seconds since 1970."""
    created_by: str = ""
    disabled_at: int | None = None
    last_login_at: int | None = None
    failures: int = 0
    """Wrong passwords in a row."""
    locked_until: int | None = None
    """Until when passwords are not even looked at, in seconds since 1970."""
    revision: int = 1
    """Grows with each change of password, grants or standing: what was decided on an older one is decided anew."""

    @property
    def initiator(self) -> str:
        """As the journal names the person."""
        return f"person-{self.name}"

    @property
    def rights(self) -> Grants:
        """What the person may."""
        return Grants.of(self.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key that a program of a person's logs in with. Only a digest of it is kept."""

    identifier: str
    person: str
    name: str
    digest: bytes = field(repr=False)
    """SHA-256 of the secret, which has 256 random bits."""
    roles: frozenset[Role] = frozenset()
    """Only these of the person's roles; empty: all of them."""
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSession:
    """A person's log-in from a browser or a program, known by the digest of its token."""

    digest: bytes = field(repr=False)
    """SHA-256 of the token, which has 256 random bits."""
    person: str
    created_at: int
    seen_at: int
    """For the end after idleness."""
    expires_at: int
    """The end in any case."""
    stepped_up_at: int | None = None
    """When the person last proved to be there again, for an act that stops machines."""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeLink:
    """Lets whoever has it set a password, once, until it ends."""

    digest: bytes = field(repr=False)
    person: str
    expires_at: int
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose rights an administrative act stands, as they were when it was decided; checked in its transaction."""

    person: str
    revision: int
    api_key: str | None = None
    """Identifier of the API key that must not be revoked meanwhile."""
    session: bytes | None = field(default=None, repr=False)
    """Digest of the log-in that must not be ended meanwhile."""
