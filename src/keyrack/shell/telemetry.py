"""The log: one line for each event on standard error, JSON for machines or plain for people, never a secret.

Rooms log through ``logging.getLogger("keyrack.<room>")`` with a constant message and the particulars in ``extra``; both
formats show them as fields. Whatever is bytes is told as its length alone, in the message as in the fields.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from keyrack.domain.secret import Secret

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record of ``logging`` has; anything else came in by ``extra``."""


class NoSecrets(logging.Filter):
    """Replaces whatever is bytes, in arguments and fields, by its length: the log is no place for a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean one record in place; it always goes on."""
        if isinstance(record.args, tuple):
            record.args = tuple(_told(value) for value in record.args)
        for name in vars(record).keys() - _OWN:
            setattr(record, name, _told(getattr(record, name)))
        return True


class JsonLines(logging.Formatter):
    """One JSON object for each event: ``time``, ``level``, ``room``, ``event`` and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line."""
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("keyrack."),
            "event": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info and record.exc_info[0]:
            event["error"] = _trace(self, record)
        return visible(json.dumps(event, default=str, ensure_ascii=False))


class ConsoleLines(logging.Formatter):
    """One line for each event, for a person who watches."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line, a traceback below it."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={_plain(value)}" for name, value in fields_of(record).items())
        line = visible(f"{time} {record.levelname.lower():7} {record.getMessage()}{fields}")
        return line + ("\n" + _trace(self, record) if record.exc_info and record.exc_info[0] else "")


def configure(level: Level, form: Format, stream: TextIO | None = None) -> None:
    """Send the log of all rooms to ``stream`` (standard error), in the one form or the other."""
    target = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.addFilter(NoSecrets())
    handler.setFormatter(ConsoleLines() if console else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("keyrack").setLevel(level.upper())
    logging.raiseExceptions = False


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The particulars that came with the event."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def visible(text: str) -> str:
    """``text`` with everything that a terminal would obey, or show as nothing, in JSON's way of writing it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def _told(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return {key: _told(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_told(inner) for inner in value]
    return repr(value) if isinstance(value, Secret) else value


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    assert record.exc_info is not None
    return formatter.formatException(record.exc_info)


def _plain(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c.isspace() or c in '"=' for c in text) else text
