"""How long to wait before a repetition, and how many there are."""

import pytest

from keyrack.adapters.key_managers.ibm.patience import Budget, http_date, pause, retry_after

NOW = 1_772_366_400.0
"""2026-03-01 12:00:00 UTC."""


def test_one_call_in_ten_may_be_repeated_in_the_long_run() -> None:
    """And ten at once: where everything fails, a thousand calls become at most 1,110."""
    budget, repetitions = Budget(), 0
    for _ in range(1000):
        budget.earn()
        for _ in range(2):
            repetitions += budget.spend()

    assert 100 <= repetitions <= 110


def test_pauses_double_and_are_drawn_from_zero() -> None:
    assert [0.05, 0.1, 0.2] == [pause(repetition, 1.0) for repetition in range(3)]
    assert 0 == pause(2, 0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:07 GMT"}, 7),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0),
        # Its own clock counts, not ours, which may be hours away.
        ({"retry-after": "Sun, 01 Mar 2026 15:00:07 GMT", "date": "Sun, 01 Mar 2026 15:00:00 GMT"}, 7),
        ({"retry-after": "Sunday, 01-Mar-26 12:00:07 GMT"}, 7),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_what_an_answer_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds == retry_after(headers, NOW)


@pytest.mark.parametrize("text", ["", "x", "1 Jan", "Sun, 99 Mar 2026 12:00:07 GMT", "\x00"])
def test_what_is_no_date(text: str) -> None:
    assert http_date(text) is None
