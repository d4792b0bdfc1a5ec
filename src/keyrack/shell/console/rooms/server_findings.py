"""``/server/findings``: everything that is looked at, one finding after the other, as ``keyrack doctor`` tells it."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.service.health.findings import Finding, Level
from keyrack.service.health.health import examine
from keyrack.service.health.whole import whole
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.inspection import acts_of, whole_terms
from keyrack.shell.nodes.database_findings import look_at_database
from keyrack.shell.probe import look_at_certificate, look_at_listener, look_at_processes
from keyrack.shell.vaulting import terms_of

room = Room()
_ORDER: Final = (Level.FAILED, Level.WARNING, Level.OK)
_OF: Final = (
    ("people", Right.PERSON_READ),
    ("log-in of", Right.PERSON_READ),
    ("API key", Right.PERSON_READ),
    ("seen, not trusted", Right.STRANGER_READ),
)
"""What findings begin with that not everybody may read who sees the server."""


@room.shows("/server/findings")
async def show_findings(call: Call) -> Response:
    """The worst first."""
    call.administration.require(Right.SERVER_READ)
    found = [each for each in await _looked(call) if _may_read(call, each)]
    ordered = sorted(found, key=lambda each: _ORDER.index(each.level))
    return call.show("server/findings.html", findings=ordered)


async def _looked(call: Call) -> Sequence[Finding]:
    """Without a key manager in hand: of root keys it tells what the serving processes have found."""
    config, catalog, at = call.config, call.catalog, call.now
    terms = {name: terms_of(table) for name, table in config.key_managers.items()}
    health = await examine(catalog, {}, at, terms=terms, acts=acts_of(config))
    return [
        *await asyncio.to_thread(lambda: list(_outside(call))),
        *await look_at_processes(config),
        *await look_at_database(config),
        *health.findings,
        *await whole(catalog, await whole_terms(config, catalog), at),
    ]


def _outside(call: Call) -> Iterator[Finding]:
    yield look_at_listener(call.config)
    yield look_at_certificate(call.config.path(call.config.kmip.certificate), call.now)


def _may_read(call: Call, finding: Finding) -> bool:
    return all(call.may(right) for begins, right in _OF if finding.what.startswith(begins))
