"""The lease on a customer root key: what it has unwrapped is served only while it was proved usable a moment ago."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.single_flight import SingleFlight

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a proof counts. Revocation reaches every key within ``lease`` + ``probe_timeout`` seconds while the key
    manager answers, and within ``outage_grace`` when it does not.
    """

    lease: float = 30
    """Seconds for which a proof counts (1 to 300)."""
    probe_timeout: float = 5
    """Seconds after which a probe counts as not answered (1 to 10)."""
    outage_grace: float = 900
    """Seconds since the last proof for which a key manager that does not answer is bridged (0 to 86,400)."""
    retry: float = 5
    """Seconds between probes while an outage is bridged."""


class Lease:
    """One customer root key's lease. ``clock`` gives seconds that never go backwards, suspended time included."""

    __slots__ = (
        "_clock",
        "_denied",
        "_denied_at",
        "_flight",
        "_probe",
        "_proof",
        "_renewal",
        "_terms",
        "renew_at",
        "until",
    )

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        denied: Callable[[], None],
        clock: Callable[[], float],
        terms: Terms,
    ) -> None:
        """Begin without a proof. ``denied`` is called, at once, when the key manager refuses."""
        self._probe = probe
        self._denied = denied
        self._clock = clock
        self._terms = terms
        self._flight: SingleFlight[None] = SingleFlight()
        self._renewal: asyncio.Task[None] | None = None
        self._proof = NEVER
        self._denied_at = NEVER
        self.until = NEVER
        """Serve what is cached while the clock is before this."""
        self.renew_at = NEVER
        """From here on, and before ``until``, it is time to renew."""

    def proved(self, at: float) -> None:
        """The root key was used with success by a call that began ``at``. What began before a denial proves nothing."""
        if at >= self._denied_at and at > self._proof:
            self._proof = at
            self.until = at + self._terms.lease
            self.renew_at = at + self._terms.lease / 2

    def deny(self) -> None:
        """End the lease: nothing that is cached may be served, and no grace bridges it."""
        self._denied_at = self._clock()
        self._proof = self.until = self.renew_at = NEVER

    async def hold(self) -> None:
        """Return while the lease holds, or once it is renewed; one probe serves all who wait.

        Raises ``KeyManagerRefused``, after ``denied`` was called, or ``KeyManagerUnavailable`` when no grace is left.
        """
        if self._clock() >= self.until:
            await self._flight.join(None, self._renew)

    def renew_soon(self) -> None:
        """Renew in the background, so that nobody has to wait when the lease ends."""
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew_quietly())

    async def _renew_quietly(self) -> None:
        try:
            await self._flight.join(None, self._renew)
        except (KeyManagerRefused, KeyManagerUnavailable):
            pass  # Whoever needs the lease next is told.
        finally:
            self._renewal = None

    async def _renew(self) -> None:
        began = self._clock()
        try:
            async with asyncio.timeout(self._terms.probe_timeout):
                await self._probe()
        except KeyManagerRefused:
            self.deny()
            self._denied()
            raise
        except (KeyManagerUnavailable, TimeoutError) as error:
            self._bridge(error)
        else:
            self.proved(began)

    def _bridge(self, error: Exception) -> None:
        now = self._clock()
        end = self._proof + self._terms.outage_grace
        if now >= end:
            raise KeyManagerUnavailable(
                "the key manager does not answer, and the time for bridging that is over"
            ) from error
        self.until = max(self.until, min(now + self._terms.retry, end))
        self.renew_at = now + self._terms.retry / 2
