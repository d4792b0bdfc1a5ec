"""The log: one line for each event, for machines or for people, and nothing secret in it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from keyrack.domain.secret import Secret
from keyrack.shell import telemetry
from keyrack.shell.telemetry import Format

CANARY = b"canary-key-material"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes while a test runs; afterwards logging is as it was."""
    root, room = logging.getLogger(), logging.getLogger("keyrack")
    before = root.handlers[:], root.level, room.level, logging.raiseExceptions
    yield io.StringIO()
    root.handlers[:], root.level = before[0], before[1]
    room.setLevel(before[2])
    logging.raiseExceptions = before[3]


def test_an_event_is_one_json_object(stream: io.StringIO) -> None:
    """Its particulars are fields of it."""
    telemetry.configure("info", "json", stream)

    logging.getLogger("keyrack.shell.serving").info("listening", extra={"address": "[::1]:5696"})

    event = json.loads(stream.getvalue())
    assert event.pop("time").endswith("+00:00")
    assert event == {"level": "info", "room": "shell.serving", "event": "listening", "address": "[::1]:5696"}


def test_an_event_is_one_line_for_people(stream: io.StringIO) -> None:
    """Time, weight, what happened, particulars."""
    telemetry.configure("info", "console", stream)

    logging.getLogger("keyrack.shell").warning("nearly full", extra={"left": 3, "what": "two words"})

    assert stream.getvalue()[13:] == 'warning nearly full left=3 what="two words"\n'


@pytest.mark.parametrize("form", ["json", "console"])
def test_bytes_are_told_by_their_length_alone(stream: io.StringIO, form: Format) -> None:
    """As an argument, as a field, and however deep."""
    telemetry.configure("debug", form, stream)
    fields = {
        "one": CANARY,
        "two": [bytearray(CANARY)],
        "three": {"in": memoryview(CANARY)},
        "four": Secret(bytearray(CANARY)),
    }

    logging.getLogger("keyrack.wire").debug("read %r and %s", CANARY, Secret(bytearray(CANARY)), extra=fields)

    assert "canary" not in stream.getvalue()
    assert stream.getvalue().count("19 bytes") == 6


def test_what_is_lighter_than_the_level_is_not_told(stream: io.StringIO) -> None:
    """Nor what libraries say below a warning."""
    telemetry.configure("info", "json", stream)

    logging.getLogger("keyrack.shell").debug("steps")
    logging.getLogger("asyncio").info("Using selector")

    assert stream.getvalue() == ""


def test_a_failure_is_told_with_its_trace(stream: io.StringIO) -> None:
    """In JSON it is a field, so that the event stays one line."""
    telemetry.configure("info", "json", stream)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("keyrack.shell").exception("it failed")

    assert json.loads(stream.getvalue())["error"].endswith("ValueError: odd")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_control_character_of_others_is_written(stream: io.StringIO, form: Format) -> None:
    """Neither as an argument nor as a field, nor one that JSON leaves as it is."""
    telemetry.configure("info", form, stream)
    hostile = "a\x1b[2J\nb\x9b2J\u202e"

    logging.getLogger("keyrack.shell").warning("refused: %s", hostile, extra={"code": hostile, "place": "Zürich"})

    assert all(line.isprintable() for line in stream.getvalue().splitlines())
    assert "Zürich" in stream.getvalue()
    if form == "json":
        assert hostile == json.loads(stream.getvalue())["code"]
