"""Passwords: which may be chosen, and argon2id, which makes each guess cost a quarter of a second and 64 MiB.

The work is done in two threads of this process, never on the loop; who comes when many wait is told to come again. So
guessing costs neither the memory nor the cores that others need.
"""

import asyncio
import secrets
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keyrack.domain.secret import Secret
from keyrack.service.office.refusals import TooManyAttempts, Unusable
from keyrack.service.people.weak import is_guessable, is_monotonous

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters. Longer ones cost time and protect nothing more."""
AT_ONCE: Final = 2
"""Hashes that are computed at one time, in one process."""
WAITING: Final = 16
"""Hashes that may wait or be computed; a longer queue would be an attacker's."""
OF_ONE_NAME: Final = 2
OF_ONE_PLACE: Final = 8
"""How many of them under one name, and from one place: nobody takes all of the queue, and keeps others out."""
NO_SHARES: Final[Mapping[str, int]] = {}

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hash costs: beyond the first choice of OWASP (19 MiB, 2 passes), within what a small server has."""

    memory: int = 65_536
    """KiB."""
    passes: int = 3
    lanes: int = 1

    def covers(self, encoded: str) -> bool:
        """Whether a hash was made at this cost at least; one that is not is made anew at the next log-in."""
        try:
            settings = dict(part.split("=") for part in encoded.split("$")[3].split(","))
            held = int(settings["m"]), int(settings["t"])
        except (IndexError, KeyError, ValueError):
            return False
        return encoded.startswith("$argon2id$") and held[0] >= self.memory and held[1] >= self.passes


COST: Final = Cost()


class Passwords:
    """Makes and compares hashes at one cost."""

    def __init__(self, cost: Cost = COST) -> None:
        """Nothing is computed yet."""
        self.cost = cost
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2id")
        self._under_way = 0
        self._shares: Counter[str] = Counter()
        self.computed = 0
        """Hashes that were computed in order to compare."""

    async def encoded(self, password: Secret) -> str:
        """The hash to keep, in the form of PHC strings; ``password`` is UTF-8 text that :func:`check` has allowed."""
        text = password.reveal()
        return await self._thought_over(lambda: _hash(text, self.cost))

    async def match(self, password: Secret, encoded: str, shares: Mapping[str, int] = NO_SHARES) -> bool:
        """Whether the hash is this password's. ``shares``: how many may wait at one time of each that asks.

        An empty one matches nothing, and takes as long: so nobody learns from the time whether there is such a person.
        """
        self.computed += 1
        known, text = bool(encoded), password.reveal()
        return await self._thought_over(lambda: _matches(text, encoded or _nobodys(self.cost)) and known, shares)

    async def _thought_over(self, work: Callable[[], Answer], shares: Mapping[str, int] = NO_SHARES) -> Answer:
        full = any(self._shares[name] >= most for name, most in shares.items())
        if full or self._under_way >= WAITING:
            raise TooManyAttempts("too many people log in at this moment; try again in a few seconds", wait=5)
        self._under_way += 1
        self._shares.update(shares.keys())
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # A thread goes on when whoever waits has gone, and counts until it ends.
        future.add_done_callback(lambda done: self._done(shares))
        return await asyncio.shield(future)

    def _done(self, shares: Mapping[str, int]) -> None:
        self._under_way -= 1
        self._shares.subtract(shares.keys())
        self._shares = +self._shares


def normal(text: str) -> Secret:
    """A password as it is hashed: what looks alike on two keyboards is the same (NFKC), in UTF-8."""
    return Secret(bytearray(unicodedata.normalize("NFKC", text).encode(errors="surrogatepass")))


def check(text: str, names: Iterable[str]) -> None:
    """Raise :class:`Unusable` for what cannot be the password of somebody with these ``names``."""
    length = len(unicodedata.normalize("NFKC", text))
    if length < SHORTEST:
        raise _weak(f"it has {length} characters, and {SHORTEST} are the least; a sentence of some words is a good one")
    if length > LONGEST:
        raise _weak(f"it has {length} characters, and {LONGEST} are the most")
    if is_monotonous(text):
        raise _weak("it repeats itself, or follows a row of keys; choose some words that nobody would put together")
    if is_guessable(text, names):
        raise _weak(
            "it is little more than a word that everybody tries first, or a name of yours or of this system; "
            "choose some words that nobody would put together"
        )


def _weak(told: str) -> Unusable:
    return Unusable(f"this password cannot be used: {told}", field="password")


def _hash(password: bytearray, cost: Cost) -> str:
    kdf = Argon2id(
        salt=secrets.token_bytes(16), length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory
    )
    return kdf.derive_phc_encoded(password)  # type: ignore[arg-type]


def _matches(password: bytearray, encoded: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, encoded)  # type: ignore[arg-type]
    except InvalidKey:
        return False
    return True


@cache
def _nobodys(cost: Cost) -> str:
    """A hash of what nobody knows, to be compared with where there is none."""
    return _hash(bytearray(secrets.token_bytes(32)), cost)
