"""What commands print: for a person at a terminal, through a pipe, and as JSON."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any, Literal, TextIO

import typer

from keyrack.domain.moments import rfc3339

Colour = Literal["green", "yellow", "red", "cyan", "bold", "dim"]
_CODES: Mapping[str, str] = {"green": "32", "yellow": "33", "red": "31", "cyan": "36", "bold": "1", "dim": "2"}

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def paint(text: str, colour: Colour, stream: TextIO | None = None) -> str:
    """``text`` in a colour, where a terminal shows colours and the user has not said NO_COLOR."""
    target = sys.stdout if stream is None else stream
    if not target.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def say(line: str = "") -> None:
    """One line of the answer."""
    print(line)


def hanging(begin: str, width: int, text: str) -> None:
    """``text`` behind ``begin``, which fills ``width`` columns; at a terminal its further lines stand below its first.

    Through a pipe it stays one line.
    """
    text = printable(text)
    room = shutil.get_terminal_size().columns - width
    if not sys.stdout.isatty() or room < _LEAST_TEXT:
        say(begin + text)
        return
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    say(begin + f"\n{' ' * width}".join(lines))


_LEAST_TEXT = 30
"""Columns below which text is not broken into lines here."""


def warn(line: str) -> None:
    """One line beside the answer, on standard error."""
    print(paint(f"warning: {line}", "yellow", sys.stderr), file=sys.stderr)


def note(line: str) -> None:
    """One line for the person who waits, on standard error."""
    print(line, file=sys.stderr)


_MARKS: Mapping[str, tuple[str, Colour]] = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


def mark(level: str) -> str:
    """What stands before a finding of this level."""
    return paint(*_MARKS[level])


def as_json(value: Any) -> None:
    """The answer as JSON."""
    from keyrack.shell.telemetry import visible

    print(visible(json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def pairs(rows: Sequence[tuple[str, Any]]) -> None:
    """Names and values below each other."""
    told = [(printable(name), printable(str(value))) for name, value in rows]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        say(f"{paint(name.ljust(width), 'dim')}  {value}")


_WORDY = frozenset({"name", "component", "subject", "server names", "action", "why it was refused", "authority"})
"""Columns that may be folded in a narrow terminal; what stands in others is of no use in pieces."""
_LEAST = 12
"""Characters that a folded column keeps."""


def shortened(identifier: str | None) -> str | None:
    """An identifier's beginning where a person looks: every command takes it. Whole through a pipe."""
    return identifier[:8] if identifier and sys.stdout.isatty() else identifier


def brief(instant: str | None) -> str | None:
    """An instant without what a person's eye jumps over. Whole through a pipe."""
    return instant[:16].replace("T", " ") + "Z" if instant and sys.stdout.isatty() else instant


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, spare: Sequence[str] = ()) -> None:
    """A table. At a terminal wordy columns are folded to fit; through a pipe no cell is ever cut or folded.

    ``spare``: columns that a narrow terminal does without, the first of them first; ``--json`` has all.
    """
    columns, rows = _without(columns, rows, spare)
    heading, *lines = table_lines(columns, rows)
    say(paint(heading, "bold"))
    for line in lines:
        say(line)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The lines of a table, its heading first."""
    cells = [["-" if cell in (None, "") else printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in [columns, *cells]) for index in range(len(columns))]
    at_terminal = sys.stdout.isatty()
    if at_terminal:
        _narrow(columns, widths, shutil.get_terminal_size().columns)
    # What is in capitals already, in part, is a name.
    yield _line([column.upper() if column.islower() else column for column in columns], widths)
    for row in cells:
        for line in _folded(row, widths) if at_terminal else [row]:
            yield _line(line, widths)


def _without(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], spare: Sequence[str]
) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The table without the spare columns that a terminal has no room for."""
    if not sys.stdout.isatty():
        return columns, rows
    for name in spare:
        widths = (max(len(str(line[at])) for line in [columns, *rows]) for at in range(len(columns)))
        if sum(widths) + 2 * (len(columns) - 1) <= shutil.get_terminal_size().columns:
            break
        gone = columns.index(name)
        columns = [*columns[:gone], *columns[gone + 1 :]]
        rows = [[*row[:gone], *row[gone + 1 :]] for row in rows]
    return columns, rows


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _narrow(columns: Sequence[str], widths: list[int], room: int) -> None:
    """Take from the wordy columns what the terminal has not room for, the widest first."""
    wordy = [index for index, column in enumerate(columns) if column in _WORDY]
    while wordy and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(wordy, key=lambda index: widths[index])
        if widths[widest] <= _LEAST:
            return
        widths[widest] -= 1


def _folded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[list[str]]:
    parts = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    for line in zip_longest(*parts, fillvalue=""):
        yield list(line)


def printable(text: str) -> str:
    """``text`` for a terminal: names come from clients, and no control character of theirs reaches it."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def count(number: int, noun: str) -> str:
    """``1 chain``, ``2 chains``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def moment(seconds: int | None) -> str:
    """A time in the zone of this machine, to the second, for people."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def day(seconds: int | None) -> str:
    """As :func:`moment`; the day alone where a person looks."""
    return moment(seconds)[:10] if sys.stdout.isatty() else moment(seconds)


def instant(seconds: int | None) -> str | None:
    """A time as ISO 8601 in UTC, for machines."""
    return rfc3339(seconds) if seconds is not None else None
