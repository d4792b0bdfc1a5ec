"""People who administer Keyrack, and what they prove themselves with."""

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from keyrack.domain.rights import Grant, Grants, Role

LOCAL: Final = "local"
"""Where a person comes from whose password is kept here; else it is the issuer of an OIDC log-in."""


_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_NAME_OF_ISSUER: Final = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9.-]{1,253}(?:~[0-9a-f]{8})?")


def is_name(name: str) -> bool:
    """Whether a local person may be called so. None of these names has an ``@``, and every issuer's person has one, so
    that nobody who comes with a token looks like somebody who is known here."""
    return _NAME.fullmatch(name) is not None


def is_name_of_issuer(name: str) -> bool:
    """Whether a person who comes with an issuer's tokens may be called so."""
    return _NAME_OF_ISSUER.fullmatch(name) is not None


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
    display: str = ""
    """What the person is called in a greeting; decides nothing."""
    grants: frozenset[Grant] = frozenset()
    created_at: int
    """Seconds since 1970."""
    created_by: str = ""
    disabled_at: int | None = None
    removed_at: int | None = None
    """Since when the person is gone for good; then it is disabled too, and has no grants."""
    last_login_at: int | None = None
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

    @property
    def can_log_in(self) -> bool:
        """Whether there is a way in: a password, or an issuer's token. A link that was never used is none."""
        return self.disabled_at is None and (self.source != LOCAL or bool(self.password))

    @property
    def state(self) -> Literal["active", "invited", "disabled", "removed"]:
        """In a word."""
        if self.removed_at is not None:
            return "removed"
        if self.disabled_at is not None:
            return "disabled"
        return "active" if self.can_log_in else "invited"

    @property
    def administers(self) -> bool:
        """Whether this is somebody who can log in and change who may what."""
        return self.can_log_in and Grant(Role.ADMINISTRATOR) in self.grants


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


@dataclass(frozen=True, slots=True)
class Patience:
    """How many wrong passwords are forgiven, and how the wait grows that follows each further one."""

    free: int
    """Attempts that cost no wait."""
    first: int = 5
    """Seconds after the first attempt that is not free; each further one doubles them."""
    longest: int = 900
    """Seconds; whoever waits as long may try again, always."""
    forgotten: int = 86_400
    """Seconds after the last attempt, after which all begins anew."""

    def wait(self, failures: int) -> int:
        """Seconds to wait after so many attempts in a row."""
        beyond = failures - self.free
        return min(self.longest, self.first << min(beyond - 1, 16)) if beyond > 0 else 0


PERSON_PATIENCE: Final = Patience(free=5)
ADDRESS_PATIENCE: Final = Patience(free=20)
"""Of an address, behind which many people may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Log-ins under one name, or from one address, that have not succeeded. Counted before a password is looked at, so
    that a thousand at once are not one."""

    of: str
    """``"name:"`` and a digest, whether there is such a person or not; or ``"address:"`` and the address."""
    failures: int = 0
    last_at: int = 0
    """Seconds since 1970."""
    free_at: int = 0
    """When the next one is looked at, in seconds since 1970."""
    version: int = 0
    """Grows with each change; 0: none is kept."""

    def counted(self, patience: Patience, now: int) -> "Attempts":
        """With one more, which is taken for a failure until it succeeds."""
        failures = 1 + (self.failures if now - self.last_at < patience.forgotten else 0)
        return replace(
            self, failures=failures, last_at=now, free_at=now + patience.wait(failures), version=self.version + 1
        )

    def forgiven(self, failures: int) -> "Attempts":
        """With so many failures less, and no wait: somebody has succeeded."""
        left = max(self.failures - failures, 0)
        return replace(self, failures=left, free_at=0, version=self.version + 1)
