"""People, and log-ins that cost little, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keyrack.domain.people import Person
from keyrack.domain.rights import EVERYTHING, Grant
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.people import letting_in, logins, persons
from keyrack.service.people.door import caller_of_token
from keyrack.service.people.logins import LoggedIn, Visitor
from keyrack.service.people.passwords import Cost, Passwords
from keyrack.testing.clock import Clock

CHEAP: Final = Cost(memory=64, passes=1)
"""A hash that takes no time and protects nothing."""
PASSWORD: Final = "tango fjord whisker"
ADDRESS: Final = "192.0.2.7:40000"


@dataclass(slots=True)
class House:
    """A catalog with people, and a clock that stands still."""

    catalog: WholeCatalog
    passwords: Passwords = field(default_factory=lambda: Passwords(CHEAP))
    clock: Clock = field(default_factory=Clock)

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    def visitor(self, address: str = ADDRESS) -> Visitor:
        """Somebody at the door."""
        return Visitor(at=self.now * 1000, address=address)

    def at_machine(self, initiator: str = "local-user-eve") -> Administration:
        """Whoever has the deployment's files."""
        return self.as_administrator(Administrator(initiator, grants=EVERYTHING))

    def as_administrator(self, who: Administrator) -> Administration:
        """The use cases of somebody."""
        return Administration(self.catalog, {}, who, lambda: self.now * 1000)

    async def person(self, name: str, *grants: Grant, password: str = PASSWORD) -> Person:
        """Somebody who can log in."""
        office = self.at_machine()
        made = await persons.add(office, self.catalog, name, grants)
        return await letting_in.set_password(office, self.catalog, self.passwords, made, password)

    async def log_in(self, name: str, password: str = PASSWORD, address: str = ADDRESS) -> LoggedIn:
        """By name and password."""
        return await logins.log_in(self.catalog, self.passwords, name, password, visitor=self.visitor(address))

    async def known_by(self, token: str) -> Administration:
        """The use cases of whoever shows this."""
        return self.as_administrator(await caller_of_token(self.catalog, token, now=self.now, address=ADDRESS))

    async def logged_in(self, name: str) -> Administration:
        """The use cases of a person, who logs in for it."""
        return await self.known_by((await self.log_in(name)).token)

    async def journal(self) -> Sequence[str]:
        """The texts of all records."""
        return [each.text for each in await self.catalog.journal(limit=10_000)]
