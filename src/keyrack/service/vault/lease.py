"""The lease on a customer root key: what it has unwrapped is served only while it was proved usable a moment ago."""

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass

from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable

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
    patience: float = 1
    """Seconds for which a caller waits for a probe; the outage's grace then bridges it while the probe goes on."""
    opening: float = 1.9
    """Seconds in which a key is unwrapped, all calls together, or the caller is told that it was not."""
    sealing: float = 8
    """Seconds in which a key is wrapped and verified, all calls together."""


class Lease:
    """One customer root key's lease. ``clock`` gives seconds that never go backwards, suspended time included."""

    __slots__ = (
        "_clock",
        "_denied",
        "_denied_at",
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

    @property
    def age(self) -> float | None:
        """Seconds since the proof that counts began; ``None``: there is none."""
        return None if self._proof == NEVER else self._clock() - self._proof

    def deny(self) -> None:
        """End the lease: nothing that is cached may be served, and no grace bridges it."""
        self._denied_at = self._clock()
        self._proof = self.until = self.renew_at = NEVER

    async def hold(self) -> None:
        """Return while the lease holds, or once it is renewed or bridged; one probe serves all who wait.

        Raises ``KeyManagerRefused``, after ``denied`` was called, or ``KeyManagerUnavailable`` when no grace is left.
        """
        if self._clock() < self.until:
            return
        renewal = self._renewing()
        done, _ = await asyncio.wait((renewal,), timeout=self._terms.patience)
        if done:
            if (error := renewal.exception()) is not None:
                # The renewal stays until the next one, and its own error would keep the frames of all who wait here.
                raise copy(error)
        else:
            self._bridge(TimeoutError())

    def renew_soon(self) -> None:
        """Renew in the background, so that nobody has to wait when the lease ends."""
        self._renewing()

    def _renewing(self) -> asyncio.Task[None]:
        """The one renewal that is under way. Whoever waits for it is told what it came to."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
            self._renewal.add_done_callback(_look_at)
        return self._renewal

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
        # Until the next probe has come to its end: who asks meanwhile must not wait for it.
        self.until = max(self.until, min(now + self._terms.retry + self._terms.probe_timeout, end))
        self.renew_at = now + self._terms.retry / 2


def _look_at(renewal: asyncio.Task[None]) -> None:
    """So that nobody complains of a failure that nobody waited for: whoever needs the lease next is told."""
    if not renewal.cancelled():
        renewal.exception()
