"""Where keys are wrapped: key managers by their names, leases on their root keys, and their two kinds of failure."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from keyrack.domain.errors import CryptographicFailure, GeneralFailure
from keyrack.domain.instances import Home
from keyrack.ports.key_manager import (
    KeyManager,
    KeyManagerFailed,
    KeyManagerRefused,
    KeyManagerUnavailable,
    TellsBinding,
)
from keyrack.service.vault.lease import Lease, Terms

T = TypeVar("T")
_USUAL = Terms()


class Homes:
    """The key managers of a deployment, and a lease for each root key that is in use."""

    def __init__(
        self,
        key_managers: Mapping[str, KeyManager],
        clock: Callable[[], float],
        terms: Mapping[str, Terms],
        denied: Callable[[Lease], None],
    ) -> None:
        """``terms`` by configured name; ``denied`` is called when a key manager refuses the root key of a lease."""
        self._key_managers = key_managers
        self._clock = clock
        self._terms = terms
        self._denied = denied
        self._leases: dict[Home, Lease] = {}

    def manager(self, name: str) -> KeyManager:
        """The key manager of this name; raises ``GeneralFailure`` where none is configured."""
        manager = self._key_managers.get(name)
        if manager is None:
            raise GeneralFailure(f"the key manager {name} of this instance is not configured")
        return manager

    def terms(self, name: str) -> Terms:
        """The terms of a key manager; those of ``embedded`` count for ``embedded/<key manager instance>`` too."""
        return self._terms.get(name.partition("/")[0], _USUAL)

    def lease(self, home: Home) -> Lease:
        """The one lease of this root key."""
        lease = self._leases.get(home)
        if lease is None:
            probe = partial(self.manager(home.key_manager).probe, home.root_key)
            denied = partial(self._end, home)
            lease = self._leases[home] = Lease(probe, denied, self._clock, self.terms(home.key_manager))
        return lease

    def leases(self, root_key: str | None = None) -> Collection[Lease]:
        """The leases on a root key, in whatever key manager, or all."""
        return [lease for home, lease in self._leases.items() if root_key in (None, home.root_key)]

    def ages(self) -> Mapping[str, Sequence[float]]:
        """Seconds since the proof of each root key that was ever proved, by configured name of its key manager."""
        found: dict[str, list[float]] = {}
        for home, lease in self._leases.items():
            if (age := lease.age) is not None:
                found.setdefault(home.key_manager.partition("/")[0], []).append(age)
        return found

    def _end(self, home: Home) -> None:
        self._denied(self._leases[home])

    async def binds(self, home: Home) -> bool:
        """Whether the key manager binds ciphertexts to strings."""
        manager = self.manager(home.key_manager)
        return not isinstance(manager, TellsBinding) or await self.asked(home, manager.binds(home.root_key))

    async def asked(self, home: Home, answer: Awaitable[T]) -> T:
        """What the key manager answers, with its two failures made the standard's, and their cause kept."""
        try:
            return await answer
        except KeyManagerRefused as error:
            raise refused(f"the key manager {home.key_manager} refuses: {error}", error) from error
        except KeyManagerUnavailable as error:
            raise unanswered(home, error) from error


def refused(told: str, error: KeyManagerRefused) -> CryptographicFailure:
    """The standard's failure for a refusal; ``told`` is for the client's administrator."""
    failure = CryptographicFailure(told)
    failure.cause = cause_of(error)
    return failure


def unanswered(home: Home, error: Exception) -> GeneralFailure:
    """The standard's failure for a key manager that does not answer: nothing is lost, and asking again may help."""
    failure = GeneralFailure(f"the key manager {home.key_manager} does not answer now: try again in a moment")
    failure.cause = cause_of(error)
    return failure


def cause_of(error: Exception) -> str:
    """What the journal keeps of a key manager's failure: why, what the key manager calls it, what it said."""
    if not isinstance(error, KeyManagerFailed):
        return "timeout"
    return ": ".join(part for part in (str(error.reason), error.code, str(error)) if part)
