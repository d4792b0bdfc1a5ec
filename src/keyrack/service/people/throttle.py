"""How often somebody may be wrong: counts by name and by address, in the catalog, so that all processes count as one.

An attempt is counted before its password is looked at, and forgiven when it succeeds. A name that nobody has is counted
like one that somebody has: the answers tell nothing.
"""

import ipaddress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from keyrack.domain.people import ADDRESS_PATIENCE, PERSON_PATIENCE, Attempts, Patience
from keyrack.ports.catalog import Conflict, Unit
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.refusals import TooManyAttempts
from keyrack.service.people.register import Register

TRIES: Final = 20
"""How often a count is read anew when others count at the same time."""
LOCAL: Final = "local"
"""The address of whoever sits at the machine."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An attempt that was counted, under its name and from its address."""

    names: tuple[str, ...]
    at: int
    """Seconds since 1970."""
    place: str = ""
    """What the place is remembered under from which somebody has succeeded."""

    async def forgiven(self, book: Register) -> tuple[Attempts, ...]:
        """For the unit of a success: the name begins anew, the address has one attempt less, the place is known."""
        held = [await book.attempts(name) for name in self.names]
        told = [each.forgiven(each.failures if each.of.startswith("name") else 1) for each in held if each.version]
        if self.place:
            known = await book.attempts(self.place)
            told.append(replace(known, failures=1, last_at=self.at, free_at=0, version=known.version + 1))
        return tuple(told)

    async def take_back(self, book: Register) -> None:
        """It was never looked at, so that it was neither right nor wrong."""
        for _ in range(TRIES):
            held = [await book.attempts(name) for name in self.names]
            changed = tuple(each.forgiven(1) for each in held if each.version)
            try:
                await book.commit(Unit(entries=(), people=PeopleChanges(attempts=changed)))
            except Conflict:
                continue
            return


async def counted(book: Register, name: str, address: str, now: int) -> Counted:
    """Count an attempt; raises :class:`TooManyAttempts` where it comes too early, and then it is not counted.

    ``name`` as it was typed; ``address`` is host and port; ``now`` in seconds since 1970. Where the person has logged
    in from that place within a day, it has a count of its own: whoever guesses elsewhere keeps nobody out at home.
    """
    place = "" if address == LOCAL else f"place:{_digest(name, place_of(address))}"
    known = await book.attempts(place) if place else Attempts(of="")
    at_home = known.version > 0 and now - known.last_at < PERSON_PATIENCE.forgotten
    wanted = _wanted(name, address, at_home=at_home)
    for _ in range(TRIES):
        held = [await book.attempts(of) for of in wanted]
        wait = max(each.free_at for each in held) - now
        if wait > 0:
            raise TooManyAttempts(
                f"there were too many wrong attempts; the next one is looked at in {wait} seconds", wait=wait
            )
        added = tuple(each.counted(wanted[each.of], now) for each in held)
        try:
            await book.commit(Unit(entries=(), people=PeopleChanges(attempts=added)))
        except Conflict:
            continue
        return Counted(tuple(wanted), now, place)
    raise TooManyAttempts("too many log in at this moment; try again in a few seconds", wait=5)


async def waits_until(book: PeopleBook, name: str) -> int:
    """When the next attempt under this name is looked at, in seconds since 1970; long ago where none is refused."""
    return (await book.attempts(of_name(name))).free_at


def of_name(name: str) -> str:
    """What attempts under this name are counted as. Only a digest is kept: it may be a password, typed into the wrong
    field."""
    return f"name:{_digest(name)}"


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode(errors="replace")).hexdigest()


def _wanted(name: str, address: str, *, at_home: bool) -> dict[str, Patience]:
    """What is counted, and with how much patience."""
    if address == LOCAL:
        return {of_name(name): PERSON_PATIENCE}
    place = place_of(address)
    named = f"name-at:{_digest(name, place)}" if at_home else of_name(name)
    return {named: PERSON_PATIENCE, f"address:{place}": ADDRESS_PATIENCE}


def place_of(address: str) -> str:
    """The host of ``host:port``; of IPv6 the network of 64 bits, all of which one subscriber has."""
    host = address.rpartition(":")[0].strip("[]") or address
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
