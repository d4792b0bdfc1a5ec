"""Many callers at once, who make keys, fetch any that was acknowledged, and bury some; and the judge of the rest."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from keyrack.spec.enumerations import BatchErrorContinuationOption, Operation, State
from keyrack.spec.tags import Tag
from keyrack.testing.client import Ask, Client
from keyrack.testing.clusters.caller import Caller, Known, got
from keyrack.testing.clusters.checking import Span, failures, problems
from keyrack.testing.clusters.history import Event, History, Kind, Outcome
from keyrack.testing.clusters.rig import INSTANCE, Rig
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.ttlv import enumeration, text

CLIENTS: Final = ("vcenter-1", "vcenter-2", "host-1", "host-2")
AT_ONCE: Final = 50
_CONTINUE = enumeration(Tag.BATCH_ERROR_CONTINUATION_OPTION, BatchErrorContinuationOption.CONTINUE)


@dataclass(slots=True)
class Keys:
    """What was acknowledged so far; any thread may use it."""

    living: list[Known] = field(default_factory=list)
    buried: list[Known] = field(default_factory=list)

    def any(self, chance: random.Random) -> Known | None:
        """One of them, now and then one that is destroyed."""
        with suppress(IndexError):
            return chance.choice(self.buried if self.buried and chance.random() < 0.1 else self.living)
        return None

    def taken(self, chance: random.Random) -> Known | None:
        """One that lives, which nobody else will bury."""
        with suppress(IndexError):
            return self.living.pop(chance.randrange(len(self.living)))
        return None


class Load:
    """A context manager: a thread for each client, half of which ask the first node first, and half the second."""

    def __init__(self, rig: Rig, clients: Sequence[str] = CLIENTS, *, pause: float = 0.01, seed: int = 0) -> None:
        """The clients were let in; ``pause`` are the seconds between two operations of one."""
        self.rig = rig
        self.clients = clients
        self.history = History()
        self.keys = Keys()
        self.pause = pause
        self.problems: list[str] = []
        """What ended a thread that should have gone on."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(self.caller(name, first=number), seed + number), daemon=True)
            for number, name in enumerate(clients)
        ]

    def caller(self, name: str, *, first: int = 0, retries: bool = True) -> Caller:
        """A client of these nodes that asks node ``first`` first."""
        nodes = [(each.name, each.address) for each in self.rig.nodes]
        turned = [*nodes[first % len(nodes) :], *nodes[: first % len(nodes)]]
        return Caller(
            name=name, endpoints=turned, context=self.rig.context(name), history=self.history, retries=retries
        )

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let everybody come to an end; harmless when repeated."""
        self._stop.set()
        for each in self._threads:
            each.join(30)
            if each.is_alive():
                self.problems.append("a client hangs")

    def going_on(self, kind: Kind, *, since: float, within: float) -> float:
        """Wait until an operation of this kind, begun after ``since``, has succeeded; seconds from then to its answer.

        Raises :class:`TimeoutError`.
        """
        while time.monotonic() < since + within:
            for each in reversed(self.history.events[-200:]):
                if each.kind is kind and each.outcome is Outcome.DONE and each.invoked >= since:
                    return each.answered - since
            time.sleep(0.01)
        raise TimeoutError(f"no {kind} succeeds within {within} s")

    def counted(self) -> str:
        """What there was, for a person."""
        by_kind = Counter(f"{each.kind} {each.outcome}" for each in self.history)
        return ", ".join(f"{count} {what}" for what, count in sorted(by_kind.items()))

    def _run(self, caller: Caller, seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not self._stop.wait(self.pause):
                act = chance.choices(_ACTS, _WEIGHTS)[0]
                act(self, caller, chance)
        except BaseException as error:  # noqa: BLE001 - told to whoever judges the run
            self.problems.append(f"{caller.name}: {type(error).__name__}: {error}")
        finally:
            caller.close()


def _make(load: Load, caller: Caller, chance: random.Random) -> None:
    known = caller.create(brought=chance.random() < 0.5)
    # A key whose activation came to nothing is still promised, and only an Active one can be deactivated.
    if known is not None and caller.activate(known) in {Outcome.DONE, Outcome.REPEATED}:
        load.keys.living.append(known)


def _fetch(load: Load, caller: Caller, chance: random.Random) -> None:
    if (known := load.keys.any(chance)) is not None:
        caller.get(known)


def _find(load: Load, caller: Caller, chance: random.Random) -> None:
    if (known := load.keys.any(chance)) is not None:
        caller.locate(known)


def _bury(load: Load, caller: Caller, chance: random.Random) -> None:
    if len(load.keys.living) < 10 or (known := load.keys.taken(chance)) is None:
        return
    if caller.revoke(known) in (Outcome.DONE, Outcome.REPEATED):
        caller.destroy(known)
    load.keys.buried.append(known)


_Act = Callable[[Load, Caller, random.Random], None]
_ACTS: Final[Sequence[_Act]] = (_make, _fetch, _find, _bury)
_WEIGHTS: Final = (30, 55, 8, 7)


def judged(load: Load) -> list[str]:
    """Ask every node for every key that was acknowledged; a sentence for each promise that is broken, now or before."""
    acknowledged = [each for each in load.history if each.kind is Kind.CREATE and each.outcome is Outcome.DONE]
    found = list(load.problems)
    for node in load.rig.nodes:
        with Client(node.address, load.rig.context(load.clients[0]), timeout=60) as asking:
            _fetch_all(asking, node.name, [each.key for each in acknowledged], load.history)
            found += [f"{node.name}: {told}" for told in broken(asking, _promises(load.history))]
    return [*found, *problems(load.history)]


def verdict(load: Load, excused: Sequence[Span] = ()) -> list[str]:
    """End the load; what :func:`judged` finds, and who was left without after a retry but in the excused times."""
    load.stop()
    left = [f"{each.client} {each.kind} {each.node} {each.told}" for each in failures(load.history, excused)]
    return [*judged(load), *left]


def _fetch_all(client: Client, node: str, uids: Sequence[str], history: History) -> None:
    for start in range(0, len(uids), AT_ONCE):
        some = uids[start : start + AT_ONCE]
        asks = [Ask(Operation.GET, (text(Tag.UNIQUE_IDENTIFIER, uid),)) for uid in some]
        invoked = time.monotonic()
        answers = client.batch(*asks, header=[_CONTINUE])
        for uid, answer in zip(some, answers, strict=True):
            told = got(uid, answer)
            history.add(
                Event(
                    client="judge",
                    kind=Kind.GET,
                    key=uid,
                    node=node,
                    invoked=invoked,
                    answered=time.monotonic(),
                    outcome=told.outcome,
                    digest=told.digest,
                    told=told.told,
                )
            )


_STATES: Final = {
    Kind.CREATE: State.PRE_ACTIVE,
    Kind.ACTIVATE: State.ACTIVE,
    Kind.REVOKE: State.DEACTIVATED,
    Kind.DESTROY: State.DESTROYED,
}


def _promises(history: History) -> list[Promise]:
    """Which states each acknowledged key may have: that of its last acknowledged change, or of any that came after."""
    promises: dict[str, Promise] = {}
    for each in sorted(history, key=lambda event: event.invoked):
        state = _STATES.get(each.kind)
        if state is None or not each.key:
            continue
        promise = promises.setdefault(each.key, Promise(each.key, INSTANCE, ""))
        if each.outcome in (Outcome.DONE, Outcome.REPEATED, Outcome.GONE):
            promise.changed_to(state)
        else:
            promise.changes_to(state)
    return list(promises.values())
