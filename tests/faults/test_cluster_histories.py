"""The judge of histories, before made-up ones: it finds nothing in the good, and what is wrong with each of the bad."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keyrack.testing.clusters.checking import Span, failures, problems
from keyrack.testing.clusters.history import Event, History, Kind, Outcome, read

A, B = "a" * 64, "b" * 64


def event(kind: Kind, at: float, outcome: Outcome = Outcome.DONE, **more: Any) -> Event:
    """Asked at ``at``, answered a tenth of a second later; of the key ``k`` unless told otherwise."""
    given = {"client": "c", "key": "k", "node": "n1", "invoked": at, "answered": at + 0.1, "outcome": outcome}
    return Event(kind=kind, **{**given, **more})


def made(**more: Any) -> Event:
    return event(Kind.CREATE, 0, **more)


def got(at: float, digest: str = A, **more: Any) -> Event:
    return event(Kind.GET, at, digest=digest, **more)


def not_got(at: float, outcome: Outcome, **more: object) -> Event:
    return event(Kind.GET, at, outcome, **more)


def barred(at: float) -> Event:
    return event(Kind.BAR, at, key="c", client="administrator")


def admitted(at: float, outcome: Outcome = Outcome.DONE) -> Event:
    return event(Kind.ADMIT, at, outcome, key="c", client="administrator")


GOOD: dict[str, Sequence[Event]] = {
    "made, fetched, destroyed, gone": [
        made(digest=A),
        got(1),
        event(Kind.DESTROY, 2),
        not_got(3, Outcome.GONE),
        event(Kind.LOCATE, 4, Outcome.GONE),
    ],
    "a Get that began before Destroy was acknowledged": [made(), event(Kind.DESTROY, 1), got(1.05, answered=9)],
    "a Destroy without an answer may have happened": [
        made(),
        event(Kind.DESTROY, 1, Outcome.UNKNOWN, last=False),
        got(2),
        not_got(3, Outcome.GONE),
    ],
    "or happens while it is asked again": [
        made(),
        event(Kind.DESTROY, 1, Outcome.UNKNOWN, last=False),
        event(Kind.DESTROY, 2, Outcome.REPEATED),
        not_got(3, Outcome.GONE),
    ],
    "destroyed while another Get was under way": [
        made(),
        event(Kind.DESTROY, 1, answered=5),
        not_got(2, Outcome.GONE),
        got(1.5, answered=6),
    ],
    "a Create without an answer": [event(Kind.CREATE, 0, Outcome.UNKNOWN, key="")],
    "asked for before it was acknowledged": [made(answered=5), not_got(1, Outcome.ABSENT)],
    "shut out, and let in again": [made(), barred(1), not_got(2, Outcome.REFUSED), admitted(4), got(5)],
    "served within the bound": [made(), barred(1), got(1.5)],
    "served while it was let in": [made(), barred(1), admitted(4, Outcome.UNKNOWN), got(4.05)],
    "another client is not shut out": [made(), barred(1), got(5, client="another")],
    "an administrator's act that failed shuts nobody out": [
        made(),
        event(Kind.BAR, 1, Outcome.UNKNOWN, key="c", client="administrator"),
        got(5),
    ],
}
BAD: dict[str, tuple[Sequence[Event], str]] = {
    "lost": ([made(), not_got(1, Outcome.ABSENT)], "is lost: get at n1"),
    "lost on the other node alone": ([made(), got(1), not_got(2, Outcome.ABSENT, node="n2")], "is lost: get at n2"),
    "not found by its name": ([made(), event(Kind.LOCATE, 1, Outcome.GONE)], "lost or destroyed, says locate"),
    "found after Destroy": (
        [made(), event(Kind.DESTROY, 1), event(Kind.LOCATE, 2)],
        "after it was known to be destroyed",
    ),
    "lost before Destroy": ([made(), event(Kind.DESTROY, 1, Outcome.ABSENT)], "is lost: destroy"),
    "other bytes than were brought": ([made(digest=A), got(1, B)], "has several values"),
    "other bytes on another node": ([made(), got(1), got(2, B, node="n2")], "has several values"),
    "no bytes": ([made(), got(1, "")], "without bytes"),
    "served after Destroy": ([made(), event(Kind.DESTROY, 1), got(1.2)], "after it was known to be destroyed"),
    "served after somebody was told": (
        [made(), event(Kind.DESTROY, 1, Outcome.UNKNOWN), not_got(2, Outcome.GONE), got(3)],
        "after it was known to be destroyed",
    ),
    "risen again after a Destroy that was asked twice": (
        [made(), event(Kind.DESTROY, 1, Outcome.UNKNOWN), event(Kind.DESTROY, 2, Outcome.REPEATED), got(3)],
        "after it was known to be destroyed",
    ),
    "destroyed by nobody": ([made(), not_got(1, Outcome.GONE)], "nobody has asked for that"),
    "destroyed before it was asked for": (
        [made(), not_got(1, Outcome.GONE), event(Kind.DESTROY, 2)],
        "nobody has asked for that",
    ),
    "served after it was shut out": ([made(), barred(1), got(2.2)], "after it was shut out"),
    "served by an open connection, for long": (
        [made(), barred(1), got(3), got(4), admitted(9)],
        "2.900 s after it was shut out",
    ),
    "made a key after it was shut out": ([barred(1), event(Kind.CREATE, 3)], "(create)"),
    "nobody has made it": ([got(1)], "nobody was told that it is there"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_has_an_order_is_taken(name: str) -> None:
    assert [] == problems(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_history_without_an_order_is_refused(name: str) -> None:
    events, told = BAD[name]

    found = problems(events)

    assert any(told in each for each in found), found


@pytest.mark.parametrize("name", BAD)
def test_one_bad_key_is_found_among_good_ones(name: str) -> None:
    others = [made(key=f"other {number}") for number in range(50)]

    assert problems([*others, *BAD[name][0]])


def test_what_fails_after_every_attempt_is_told_unless_it_was_excused() -> None:
    first = event(Kind.GET, 1, Outcome.UNKNOWN, last=False)
    refused = event(Kind.GET, 2, Outcome.REFUSED)
    hung = event(Kind.CREATE, 5, Outcome.UNKNOWN, key="", answered=7)
    gone = event(Kind.GET, 8, Outcome.GONE)

    assert [refused, hung] == failures([first, refused, hung, gone])
    assert [refused] == failures([first, refused, hung, gone], [Span(6, 6.5)])


def test_a_history_survives_a_file(tmp_path: Path) -> None:
    whole = History([made(digest=A), got(1), not_got(2, Outcome.REFUSED, told="busy", last=False)])

    whole.write(tmp_path / "history")

    assert list(read(tmp_path / "history")) == list(whole)
