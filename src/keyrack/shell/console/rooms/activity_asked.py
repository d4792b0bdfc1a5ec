"""What is asked of the journal in the address of a page, and the address of what is asked."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keyrack.service.journal.reading import KINDS, Wanted
from keyrack.service.office.refusals import Unusable
from keyrack.shell.console.calls import Call
from keyrack.shell.console.words import mark

FIELDS: Final = ("key", "who", "kind", "action", "outcome", "address", "text", "last", "since", "until", "zone")
"""Of the form, beside the instance."""
NARROWING: Final = tuple(each for each in FIELDS if each != "zone")
SPANS: Final[Mapping[str, int]] = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""Seconds until now."""
LONGEST: Final = 200
"""Characters of a field."""
NO_TIME: Final = mark("this is no time")


def wanted(call: Call, instance: str | None = None) -> Wanted:
    """What the address asks for; ``instance``: of this one in any case. Raises ``Unusable`` with the field."""
    typed = {name: _short(call, name) for name in FIELDS}
    since, until = _moment(call, "since"), _moment(call, "until")
    if (span := SPANS.get(typed["last"])) is not None:
        since = max(since or 0, (call.now - span) * 1000)
    return Wanted(
        since=since,
        until=until,
        instance=instance if instance is not None else call.typed.get("instance")[:LONGEST],
        machine=typed["key"],
        who=typed["who"],
        kind=typed["kind"] if typed["kind"] in KINDS else "",
        action=typed["action"],
        outcome=typed["outcome"],
        address=typed["address"],
        text=typed["text"],
    )


def _short(call: Call, name: str) -> str:
    value = call.typed.get(name)
    if len(value) > LONGEST:
        raise Unusable(mark("that is longer than anything that stands in a record"), field=name)
    return value


def _moment(call: Call, name: str) -> int | None:
    """Milliseconds since 1970, of a time as a browser's field has it."""
    if not (value := call.typed.get(name)):
        return None
    try:
        told = datetime.fromisoformat(value)
        return int((told if told.tzinfo else told.replace(tzinfo=zone(call))).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Unusable(NO_TIME, field=name, hint=mark("write for example 2026-11-22T17:30")) from None


def zone(call: Call) -> tzinfo:
    """Of the times that are typed: what the browser has said, else UTC."""
    try:
        return ZoneInfo(call.typed.get("zone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def place(call: Call, name: str) -> int | None:
    """A record's number in the address; nothing where it is none."""
    value = call.typed.get(name)
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 18 else None  # noqa: PLR2004


def address_of(call: Call, *, without: Collection[str] = (), **changes: str | int) -> str:
    """The query of what is asked, for a link: with what else is said, and without what is not to go on."""
    kept = [
        (name, call.typed.get(name)) for name in ("instance", *FIELDS) if name not in without and call.typed.get(name)
    ]
    return urlencode([*kept, *changes.items()])


def is_narrowed(call: Call) -> bool:
    """Whether anything is asked for beside the instance."""
    return any(call.typed.get(name) for name in NARROWING)
