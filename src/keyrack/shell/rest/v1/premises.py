"""What every call of the administration API works with: the catalog, the way to a serving process, and the bounds."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request

from keyrack.ports.back_office import BackOffice
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.journal.verified import Verifications
from keyrack.service.moves.pace import Paces
from keyrack.service.office.administration import Administrator
from keyrack.service.people.door import USUAL, Ends, caller_of_token
from keyrack.service.people.passwords import Passwords
from keyrack.shell.config.whole import Config
from keyrack.shell.metrics.sampling import Sampler
from keyrack.shell.metrics.scrape import Scrape, WebMeter
from keyrack.shell.office import clock as clock_of_the_system
from keyrack.shell.oidc import Provider
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.shell.rest.floodgate import Floodgate
from keyrack.shell.rest.v1.readiness import Looking
from keyrack.shell.rest.v1.turns import Turns

BOUNDS: Final = Bounds(
    body=1_048_576,
    head=16_384,
    connections=512,
    connections_per_address=128,
    per_address=Rate(each_second=50, burst=300),
    per_caller=Rate(each_second=50, burst=300),
    logins=Rate(each_second=0.5, burst=20),
)
"""Those of the administration API: people and their programs, not hosts."""


@dataclass(slots=True, kw_only=True)
class Premises:
    """One running API."""

    catalog: WholeCatalog
    back_office: BackOffice
    ends: Ends = USUAL
    """When log-ins are over."""
    config: Config | None = None
    """Of the deployment; ``None`` where there is none, in a test."""
    clock: Callable[[], int] = clock_of_the_system
    """Milliseconds since 1970."""
    bounds: Bounds = BOUNDS
    hosts: Collection[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    """What the server is called: names and addresses in its certificate, lower case, without port."""
    passwords: Passwords = field(default_factory=Passwords)
    provider: Provider | None = None
    """Of log-ins elsewhere; opened when it is first asked for."""
    meter: WebMeter = field(default_factory=WebMeter)
    scrape: Scrape | None = None
    """What answers ``/metrics``; made where there is a configuration."""
    addresses: Floodgate = field(init=False)
    callers: Floodgate = field(init=False)
    strangers: Floodgate = field(init=False)
    """Requests of one address whose token nobody has."""

    verifying: Verifications = field(default_factory=Verifications)
    """One verification of the journal at a time: it takes a core for itself."""
    searching: Turns = field(default_factory=lambda: Turns(of_one=3, in_all=12))
    exporting: Turns = field(default_factory=lambda: Turns(of_one=2, in_all=8))
    following: Turns = field(default_factory=lambda: Turns(of_one=8, in_all=64))
    """Of the journal: each reads all of it, or holds a connection for hours."""
    paces: Paces = field(default_factory=Paces)
    """Of rewraps, as far as they were looked at."""
    looking: Looking = field(init=False)
    """For the health, at most once a second."""
    sampler: Sampler = field(init=False)
    """What the plots are drawn from; whoever serves has it watch."""

    def __post_init__(self) -> None:
        """Set up the gates, and what tells of the metrics."""
        if self.config is not None and self.scrape is None:
            self.scrape = Scrape.of(self.config, self.catalog, self.back_office, self.meter)
        self.looking = Looking(self.back_office, self.config.api.readiness_seconds if self.config else 15)
        self.sampler = Sampler(catalog=self.catalog, back_office=self.back_office)
        self.addresses = Floodgate(self.bounds.per_address, time.monotonic)
        self.callers = Floodgate(self.bounds.per_caller, time.monotonic)
        self.strangers = Floodgate(self.bounds.logins, time.monotonic)

    async def recognise(self, token: str, address: str, correlation: str, *, noted: bool = True) -> Administrator:
        """Who has this token and what they may, from the database; raises ``Unauthenticated``."""
        return await caller_of_token(
            self.catalog,
            token,
            now=self.clock() // 1000,
            address=address,
            ends=self.ends,
            correlation=correlation,
            noted=noted,
        )


def _premises(request: Request) -> Premises:
    premises: Premises = request.app.state.premises
    return premises


Keeper = Annotated[Premises, Depends(_premises)]
"""The argument of a call that wants more than the caller's visit: ``keeper: Keeper``."""
