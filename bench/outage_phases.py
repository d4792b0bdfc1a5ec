"""A key manager hangs: warm Gets, Gets of another key manager's instance, cold Gets, and the way back."""

import time
from dataclasses import dataclass, field

from bench.load import Result, finish, start
from bench.outage_ground import Ground, got
from bench.servers import CannotMeasure

from keyrack.testing.fault_proxy_rules import Fault, Rule

WARM, COLD = 32, 64
RATE = 200.0
"""Gets a second of the load of warm Gets."""


@dataclass(slots=True)
class Phase:
    """Some seconds with or without the hang. Times of Gets in milliseconds."""

    hang: bool
    p50: float
    p99: float
    """Of warm keys of the instance whose key manager it is."""
    refusals: list[float] = field(default_factory=list)
    """Seconds until each cold Get was refused."""
    back_after: float | None = None
    """Seconds from the end of the hang to the first cold Get that worked."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What an instance of another key manager gets meanwhile, by eight clients that ask without rest."""

    hang: bool
    rate: float
    """Gets a second."""
    p50: float
    p99: float


class Outage:
    """Two instances, each in a key manager of its own, one of which hangs now and then."""

    def __init__(self, on: Ground) -> None:
        """Make them and their keys, and start the server anew: only some of the keys are in memory then."""
        self.on = on
        self.mine, self.others = on.tenant("mine", "kp"), on.tenant("others", "other")
        address = on.deployment.start()
        self.mine.make(address, WARM + COLD)
        self.others.make(address, WARM)
        on.deployment.stop()
        self.address = on.deployment.start()
        self.cold = self.mine.uids[WARM:]
        for tenant in (self.mine, self.others):
            with tenant.connect(self.address) as asking:
                if not all(got(asking, uid).ok for uid in tenant.uids[:WARM]):
                    raise CannotMeasure("bench: a key is not to be had")

    def phase(self, seconds: float, *, hang: bool) -> Phase:
        """The load of warm Gets, and with the hang cold Gets besides; then how long it takes until those work again."""
        self._begin(hang)
        load = start(self.mine.load(self.address, self.mine.uids[:WARM], seconds, rate=RATE))
        refusals = self._refused(time.monotonic() + seconds - 1) if hang else []
        phase = Phase(hang, *_percentiles(finish(load, "warm Gets")), refusals)
        self.on.proxy.set()
        phase.back_after = self._back() if hang else None
        return phase

    def beside(self, seconds: float, *, hang: bool) -> Beside:
        """The other instance without rest, while this one is asked for keys that are not in memory, or that are."""
        self._begin(hang)
        load = start(self.others.load(self.address, self.others.uids[:WARM], seconds))
        until = time.monotonic() + seconds
        with self.mine.connect(self.address) as asking:
            while time.monotonic() < until:
                got(asking, self.cold[0] if hang else self.mine.uids[0])
                time.sleep(0.2)
        result = finish(load, "Gets beside")
        self.on.proxy.set()
        if hang:
            self._back()
        return Beside(hang, float(result["units_per_s"]), *_percentiles(result))

    def _begin(self, hang: bool) -> None:
        if hang:
            self.on.proxy.set(Rule(fault=Fault.HANG))

    def _refused(self, until: float) -> list[float]:
        """Ask for cold keys again and again; seconds until each refusal."""
        refusals: list[float] = []
        with self.mine.connect(self.address) as asking:
            while time.monotonic() < until:
                began = time.monotonic()
                answer = got(asking, self.cold[len(refusals) % len(self.cold)])
                refusals.append(time.monotonic() - began)
                if answer.ok:
                    raise CannotMeasure("bench: a key that was not in memory was served during the hang")
                time.sleep(0.2)
        return refusals

    def _back(self) -> float:
        began = time.monotonic()
        with self.mine.connect(self.address) as asking:
            while not got(asking, self.cold[-1]).ok:
                time.sleep(0.05)
        self.cold.pop()  # It is warm now.
        return time.monotonic() - began


def _percentiles(result: Result) -> tuple[float, float]:
    told = result["latency_us"]["unit"]
    return float(told["p50"]) / 1000, float(told["p99"]) / 1000
