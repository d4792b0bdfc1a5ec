"""What commands print: for a person at a terminal, through a pipe, and as JSON."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TextIO

import typer

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


def warn(line: str) -> None:
    """One line beside the answer, on standard error."""
    print(paint(f"warning: {line}", "yellow", sys.stderr), file=sys.stderr)


def note(line: str) -> None:
    """One line for the person who waits, on standard error."""
    print(line, file=sys.stderr)


def as_json(value: Any) -> None:
    """The answer as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def pairs(rows: Sequence[tuple[str, Any]]) -> None:
    """Names and values below each other."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"{paint(name.ljust(width), 'dim')}  {value}")


_WORDY = frozenset({"name", "component", "subject", "server names", "action"})
"""Columns that may be folded in a narrow terminal; what stands in others is of no use in pieces."""


def shortened(identifier: str | None) -> str | None:
    """An identifier's beginning where a person looks: every command takes it. Whole through a pipe."""
    return identifier[:8] if identifier and sys.stdout.isatty() else identifier


def brief(instant: str | None) -> str | None:
    """An instant without what a person's eye jumps over. Whole through a pipe."""
    return instant[:16].replace("T", " ") + "Z" if instant and sys.stdout.isatty() else instant


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table: drawn at a terminal, plain columns through a pipe. No row is ever cut off in a pipe."""
    texts = [["-" if cell in (None, "") else _printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(columns, texts)
        return
    widths = [max(len(line[index]) for line in [list(columns), *texts]) for index in range(len(columns))]
    for line in [[column.upper() for column in columns], *texts]:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        wordy = column in _WORDY
        drawn.add_column(column, no_wrap=not wordy, overflow="fold" if wordy else "ellipsis", min_width=_least(wordy))
    for row in rows:
        # Text, not markup: a key's name comes from a client and may hold what rich would obey.
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def _least(wordy: bool) -> int | None:
    return 14 if wordy else None


def _printable(text: str) -> str:
    # Names come from clients: no control character of theirs reaches the administrator's terminal.
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def moment(seconds: int | None) -> str:
    """A time in the zone of this machine, to the second, for people."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def instant(seconds: int | None) -> str | None:
    """A time as ISO 8601 in UTC, for machines."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") if seconds is not None else None
