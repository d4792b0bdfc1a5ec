"""The law of a history: each key is a register that is written once and destroyed once, and is linearizable.

Of such a register no search among orders is needed: a history has an order that explains it where, and only where,

- every key that was acknowledged is there whenever somebody asks for it from then on;
- every Get shows the same bytes, those that a client brought if one did;
- nobody is told that a key is destroyed before anybody has asked for that;
- and once anybody was told so, or Destroy was acknowledged, nobody who asks later is given it, or finds it.

A client that was shut out is given nothing after the bound, a time within which every node must have heard of it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.testing.clusters.history import Event, Kind, Outcome

BOUND: Final = 1.0
"""Seconds after which a certificate's removal, or a seal, counts everywhere."""
SHOWN: Final = 12
"""Characters of a digest that a problem shows."""
Law = Callable[[str, Sequence[Event]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Span:
    """A time within which an operation may fail: nobody promises what cannot be."""

    since: float
    until: float

    def holds(self, event: Event) -> bool:
        """Whether the attempt was under way within it."""
        return event.answered >= self.since and event.invoked <= self.until


def problems(history: Iterable[Event], bound: float = BOUND) -> list[str]:
    """A sentence for each promise that the history shows broken."""
    events = sorted(history, key=lambda event: event.invoked)
    by_key: dict[str, list[Event]] = defaultdict(list)
    for each in events:
        if each.kind not in (Kind.BAR, Kind.ADMIT) and each.key:
            by_key[each.key].append(each)
    found = [told for key, own in by_key.items() for law in _LAWS for told in law(key, own)]
    return [*found, *_shut_out(events, bound)]


def failures(history: Iterable[Event], excused: Sequence[Span] = ()) -> list[Event]:
    """Operations that failed at every endpoint they were tried at, outside of the spans."""
    return [each for each in history if each.failed and not any(span.holds(each) for span in excused)]


def _lost(key: str, own: Sequence[Event]) -> Iterator[str]:
    """A key that was acknowledged is there; a key that somebody was told to be absent may not come later either."""
    since = min((each.answered for each in own if _made(each)), default=None)
    if since is None:
        yield f"{key} is asked for, and nobody was told that it is there"
        return
    for each in own:
        if each.outcome is Outcome.ABSENT and each.invoked >= since:
            yield f"{key} is lost: {each.kind} at {each.node} {each.invoked - since:.3f} s after it was acknowledged"


def _bytes(key: str, own: Sequence[Event]) -> Iterator[str]:
    shown = {each.digest: each for each in own if each.digest}
    if len(shown) > 1:
        told = ", ".join(f"{digest[:SHOWN]} ({each.kind} at {each.node})" for digest, each in shown.items())
        yield f"{key} has several values: {told}"
    for each in own:
        if each.kind is Kind.GET and each.outcome is Outcome.DONE and not each.digest:
            yield f"{key} was given out without bytes at {each.node}"


def _ended(key: str, own: Sequence[Event]) -> Iterator[str]:
    """What is destroyed stays so, and nothing is that nobody wanted to be."""
    ends = [each for each in own if each.kind is Kind.DESTROY]
    told = [each for each in own if _says_destroyed(each)]
    wanted = min((each.invoked for each in ends), default=float("inf"))
    for each in told:
        if each.answered < wanted:
            yield f"{key} is lost or destroyed, says {each.kind} at {each.node}, and nobody has asked for that"
    known = min((each.answered for each in told), default=float("inf"))
    for each in own:
        if each.kind in _READS and each.outcome is Outcome.DONE and each.invoked > known:
            yield f"{key} was served by {each.node} {each.invoked - known:.3f} s after it was known to be destroyed"


def _shut_out(events: Sequence[Event], bound: float) -> Iterator[str]:
    """Nobody is served who was shut out: ``BAR`` acknowledged before, and no ``ADMIT`` begun before the answer."""
    for name, spans in _barred(events, bound).items():
        for each in events:
            if each.client != name or each.outcome is not Outcome.DONE:
                continue
            for span in spans:
                if span.since < each.invoked and each.answered < span.until:
                    late = each.invoked - span.since + bound
                    yield f"{name} was served by {each.node} ({each.kind}) {late:.3f} s after it was shut out"


def _barred(events: Sequence[Event], bound: float) -> Mapping[str, Sequence[Span]]:
    """For each client, from when until when it may not be served. An act that is not known to have happened shuts
    nobody out, and lets everybody in."""
    spans: dict[str, list[Span]] = defaultdict(list)
    since: dict[str, float] = {}
    for each in events:
        if each.kind is Kind.BAR and each.outcome is Outcome.DONE:
            since.setdefault(each.key, each.answered + bound)
        elif each.kind is Kind.ADMIT and each.key in since:
            spans[each.key].append(Span(since.pop(each.key), each.invoked))
    for name, begun in since.items():
        spans[name].append(Span(begun, float("inf")))
    return spans


def _made(event: Event) -> bool:
    return event.kind is Kind.CREATE and event.outcome is Outcome.DONE


def _says_destroyed(event: Event) -> bool:
    return event.outcome is Outcome.GONE or (event.kind is Kind.DESTROY and event.outcome in _DESTROYED)


_READS: Final = frozenset({Kind.GET, Kind.LOCATE})
_DESTROYED: Final = frozenset({Outcome.DONE, Outcome.REPEATED})
_LAWS: Final[Sequence[Law]] = (_lost, _bytes, _ended)
