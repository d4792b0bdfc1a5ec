"""Token buckets by name: how often one caller or one address may come."""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable

from keyrack.shell.rest.bounds import Rate

MOST_NAMES = 10_000
"""Names that are remembered: whoever was not seen for the longest time is forgotten, and begins with a full bucket."""


def home(address: str) -> str:
    """Whom an address belongs to: of IPv6 everybody has 2^64 of them, so its network counts as one."""
    try:
        told = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(told, ipaddress.IPv6Address) and told.ipv4_mapped is None:
        return str(ipaddress.ip_network((told, 64), strict=False))
    return str(getattr(told, "ipv4_mapped", None) or told)


class Floodgate:
    """One bucket for each name, all of one rate. Used on the event loop's thread alone."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        """``clock`` is monotonic, in seconds."""
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left, and when."""

    def take(self, name: str) -> int:
        """Take one; 0 where there was one, else the whole seconds after which there is one again."""
        left, now = self._left(name)
        self._buckets.pop(name, None)
        taken = left >= 1
        self._buckets[name] = (left - 1 if taken else left, now)
        if len(self._buckets) > MOST_NAMES:
            self._buckets.popitem(last=False)
        return 0 if taken else self._seconds(left)

    def wait(self, name: str) -> int:
        """What :meth:`take` would answer, without taking any."""
        left, _ = self._left(name)
        return 0 if left >= 1 else self._seconds(left)

    def _left(self, name: str) -> tuple[float, float]:
        now = self._clock()
        left, since = self._buckets.get(name, (float(self._rate.burst), now))
        return min(self._rate.burst, left + (now - since) * self._rate.each_second), now

    def _seconds(self, left: float) -> int:
        return max(1, math.ceil((1 - left) / self._rate.each_second))
