"""The numbers behind the plots: for ``static/plots.js`` as JSON, for everybody else as a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from keyrack.domain.rights import Right
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.overview.room import room
from keyrack.shell.console.words import mark
from keyrack.shell.metrics.series import SPANS, STEP, Point, names, rows
from keyrack.spec.enumerations import Operation

MOST_NAMES: Final = 4
"""Lines of a plot that have a name of their own; all others are one line together."""
MINUTES: Final = 15
"""Rows of the table."""
PARTS: Final[Mapping[str, str]] = {
    "keyrack": mark("Keyrack itself"),
    "catalog": mark("Database"),
    "key_manager": mark("Key manager"),
}
OTHERS: Final = mark("Others")
SLOWEST: Final = 0.01
Line = tuple[str, Sequence[float | int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The last minute, in a number each."""

    requests: float
    milliseconds: float | None
    """Of a request, on average; ``None`` where there was none."""
    refused: float


@room.refreshes("/live/series.json")
async def tell_series(call: Call) -> Response:
    """The points of all plots, an hour or a day of them; as many as fit on a screen, however long the server runs."""
    call.administration.require(Right.SERVER_READ)
    wanted = call.typed.get("span", "hour")
    span = wanted if wanted in SPANS else "hour"
    points = call.premises.sampler.rings.last(span)
    told = {
        "at": [each.at for each in points],
        "from": call.now - SPANS[span].step * SPANS[span].points,
        "until": call.now,
        "plots": {name: _lines(call, draw(points)) for name, draw in PLOTS.items()},
    }
    return JSONResponse(told, headers={"cache-control": "no-store"})


@room.refreshes("/live/overview/minutes")
async def refresh_minutes(call: Call) -> Response:
    """The table of the last minutes."""
    call.administration.require(Right.SERVER_READ)
    return call.show("overview/minutes.html", **minutes(call))


def minutes(call: Call) -> Mapping[str, Any]:
    """What the table of the last minutes shows."""
    found = call.premises.sampler.rings.minutes(MINUTES)
    shown = names([each.requests for each in found], MOST_NAMES)
    return {"minutes": list(rows(found, shown)), "operations": shown, "parts": PARTS}


def figures(call: Call) -> Figures | None:
    """The last minute; ``None`` for whoever does not see the server, and while nothing was sampled."""
    points = call.premises.sampler.rings.last("hour")[-60 // STEP :]
    if not points or not call.may(Right.SERVER_READ):
        return None
    last = points[0]
    for each in points[1:]:
        last += each
    means = [last.mean(part) for part in PARTS]
    return Figures(
        requests=last.a_minute(sum(last.requests.values())),
        milliseconds=None if None in means else sum(each or 0.0 for each in means),
        refused=last.a_minute(sum(last.refused.values())),
    )


def _requests(points: Sequence[Point]) -> Sequence[Line]:
    shown = names([each.requests for each in points], MOST_NAMES)
    columns = list(zip(*(told for _, told in rows(points, shown)), strict=True))
    lines = list(zip((*shown, OTHERS), columns, strict=True)) if columns else []
    return [line for line in lines if line[0] != OTHERS or any(line[1])]


def _latency(points: Sequence[Point]) -> Sequence[Line]:
    # On a scale of decades nothing is drawn where nothing was waited for.
    lines: list[Line] = [(told, [each.mean(part) or None for each in points]) for part, told in PARTS.items()]
    return [*lines, (mark("Slowest 1 %, all together"), [each.slowest(SLOWEST) for each in points])]


def _keys(points: Sequence[Point]) -> Sequence[Line]:
    return [(mark("Keys"), [each.keys for each in points])]


def _refused(points: Sequence[Point]) -> Sequence[Line]:
    return [(mark("Refused handshakes"), [each.a_minute(sum(each.refused.values())) for each in points])]


PLOTS: Final[Mapping[str, Callable[[Sequence[Point]], Sequence[Line]]]] = {
    "requests": _requests,
    "latency": _latency,
    "keys": _keys,
    "refused": _refused,
}
"""By the name that the page has for each."""


_OPERATIONS: Final = frozenset(each.title for each in Operation)


def _lines(call: Call, lines: Sequence[Line]) -> Sequence[Mapping[str, Any]]:
    # An operation is called so in every language, though a button may say the same word.
    return [
        {"name": name if name in _OPERATIONS else call.words.text(name), "values": list(values)}
        for name, values in lines
    ]
