"""Ways to break the service on purpose: each has to be found within some seeds, or the simulation proves nothing.

A sabotage takes out one protection, and nothing else; ``SABOTAGES`` says which, and what it is expected to break.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from keyrack.adapters.catalogs import queries, units
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain import access, lifecycle
from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import Event
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.key_manager import Wrapped
from keyrack.service import batch
from keyrack.service.batch import Conversation
from keyrack.service.care import existence, reconcile
from keyrack.service.care.purging import Purging
from keyrack.service.moves import successors
from keyrack.service.office import approvals, key_steps
from keyrack.service.vault import sealing, standard_keys
from keyrack.service.vault.blob import Malformed, parse
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.homes import Homes
from keyrack.service.vault.lease import Lease
from keyrack.service.vault.single_flight import SingleFlight
from keyrack.service.vault.wrapping import Wrapping
from keyrack.spec.enumerations import State
from keyrack.spec.types import Vanishing
from keyrack.testing.simulation.weather import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """One protection taken out."""

    breaks: Sequence[str]
    """Which invariants may be the first to be seen broken."""
    puts_in: Callable[["Patches"], None]
    emphasis: Mapping[str, Any]
    """What happens often while it is looked for: see ``weather``."""


class Patches:
    """Attributes that were replaced, and what they were."""

    def __init__(self) -> None:
        """Nothing is replaced."""
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, where: Any, name: str, instead: Any) -> Any:
        """Replace one; what it was."""
        before = vars(where)[name]
        self._before.append((where, name, before))
        setattr(where, name, instead)
        return before

    def take_out(self) -> None:
        """All as before."""
        for where, name, before in reversed(self._before):
            setattr(where, name, before)


SABOTAGES: Final[dict[str, Sabotage]] = {}


def _breaks(*invariants: str, **emphasis: Any) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    def enter(puts_in: Callable[[Patches], None]) -> Callable[[Patches], None]:
        SABOTAGES[puts_in.__name__] = Sabotage(breaks=invariants, puts_in=puts_in, emphasis=emphasis)
        return puts_in

    return enter


@contextmanager
def sabotaged(name: str) -> Iterator[None]:
    """With one protection taken out."""
    patches = Patches()
    try:
        SABOTAGES[name].puts_in(patches)
        yield
    finally:
        patches.take_out()


async def _nothing(*arguments: Any, **more: Any) -> None:
    """What a protection comes to that was taken out."""


# The catalog's transaction.


@_breaks("I1", "I4")
def answer_before_commit(patches: Patches) -> None:
    """A client's unit is committed a moment after it was answered."""

    async def commit(self: SqliteCatalog, unit: Unit) -> None:
        if unit.principal is None:
            await real(self, unit)
        else:
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(_quietly(real(self, unit))))

    real = patches.put(units_catalog(), "commit", commit)


@_breaks("I4")
def journal_after_release(patches: Patches) -> None:
    """A unit that changes nothing, as a Get's, is committed a moment after it was answered."""

    async def commit(self: SqliteCatalog, unit: Unit) -> None:
        if unit.principal is None or unit.updated or unit.inserted or unit.intents:
            await real(self, unit)
        else:
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(_quietly(real(self, unit))))

    real = patches.put(units_catalog(), "commit", commit)


@_breaks("I6", "I5")
def no_certificate_in_the_transaction(patches: Patches) -> None:
    """What a node remembers of a client's certificate is believed."""
    patches.put(units.Application, "_authorise", _nothing)


@_breaks("I6", "I5")
def authority_learnt_for_ever(patches: Patches) -> None:
    """What was learnt of a certificate stands whatever others change."""
    patches.put(units.Application, "forget", lambda self: None)


@_breaks("I5", "I8", "I9", ends=0.6)
def no_version_compare(patches: Patches) -> None:
    """What was seen is not compared with what is there."""

    async def found(self: Any, unit: Any) -> Any:
        rows = {}
        for row in unit.updated:
            (held,) = await self._execute(queries.SEEN, (row.managed.unique_identifier,))
            rows[row.managed.unique_identifier] = (held[0], held[1], row.managed.version - 1, held[3])
            await self._execute("UPDATE object SET version = ? WHERE number = ?", (row.managed.version - 1, held[0]))
        return rows

    patches.put(units.Application, "_compare", found)
    patches.put(units.Application, "_check_seen", _nothing)


@_breaks("I5", ends=0.8, slow=1.0)
def versions_remembered_for_ever(patches: Patches) -> None:
    """A Get is decided on the version that this node has read last, whatever others have committed."""

    async def check_seen(self: Any, seen: Mapping[str, int], principal: Any) -> None:
        known = self._versions.held
        await real(self, {uid: version for uid, version in seen.items() if uid not in known}, principal)

    real = patches.put(units.Application, "_check_seen", check_seen)


# Wrapped keys.


@_breaks("I1", "I10", calls=((Fate.GARBLED, 0.1),))
def no_read_back(patches: Patches) -> None:
    """What a key manager was given to keep is not read back."""
    patches.put(standard_keys, "_compare", _nothing)


@_breaks("I1", calls=((Fate.GARBLED, 0.1),))
def no_trial_unwrap(patches: Patches) -> None:
    """What a key manager has wrapped is not unwrapped and compared."""

    async def wrap(self: Any, home: Any, plaintext: Any, header: Any) -> Wrapped:
        wrapped: Wrapped = await self._homes.manager(home.key_manager).wrap(home.root_key, plaintext, header.aad())
        return wrapped

    patches.put(Wrapping, "_verified_wrap", wrap)


@_breaks("I2", swap=0.2)
def no_context(patches: Patches) -> None:
    """A wrapped key is opened for whatever object has it."""

    def checked(self: Vault, instance: Instance, managed: Sealed) -> Any:
        try:
            blob = parse(managed.sealed or b"")
        except Malformed:
            return real(self, instance, managed)
        return self.wrapping.verified(blob.header.instance, managed.sealed), instance.home

    real = patches.put(Vault, "_checked", checked)


@_breaks("I2", calls=((Fate.GARBLED, 0.1),))
def no_check_of_what_is_unwrapped(patches: Patches) -> None:
    """Neither the hash of the context nor the key check value is looked at."""
    patches.put(sealing, "disclose", _disclosed)


@_breaks("I2", fetches=0.8)
def cache_by_identifier_alone(patches: Patches) -> None:
    """One unwrap serves whoever waits for any key of an instance."""

    async def join(self: Any, key: Any, start: Any) -> Any:
        return await real(self, (key[0], type(start.args[1])), start)

    real = patches.put(SingleFlight, "join", join)


@_breaks("I5")
def kept_in_memory(patches: Patches) -> None:
    """What is destroyed stays in memory."""
    patches.put(Vault, "forget", lambda self, uid: None)


@_breaks("I5")
def destroyed_is_served(patches: Patches) -> None:
    """Get does not look at the state."""
    patches.put(access, "check_release", lambda managed, wrapped: None)


@_breaks("I5", "I8", ends=0.6)
def destroyed_comes_back(patches: Patches) -> None:
    """Activate makes a destroyed key Active."""
    patches.put(
        lifecycle,
        "LIFECYCLE",
        {**lifecycle.LIFECYCLE, (State.DESTROYED, Event.ACTIVATE): State.ACTIVE},
    )


# Leases.


@_breaks("I7", customer=0.3)
def denial_is_bridged(patches: Patches) -> None:
    """A refusal is taken for an outage: the lease goes on."""
    patches.put(Lease, "deny", lambda self: None)
    patches.put(Homes, "_end", lambda self, home: None)

    async def renew(self: Any) -> None:
        try:
            await real(self)
        except Exception as error:  # noqa: BLE001
            self._bridge(error)

    real = patches.put(Lease, "_renew", renew)


@_breaks("I7", customer=0.3)
def lease_without_end(patches: Patches) -> None:
    """A proof counts for an hour."""

    def proved(self: Lease, at: float) -> None:
        real(self, at)
        self.until = at + 3600

    real = patches.put(Lease, "proved", proved)


@_breaks("I7", customer=0.3)
def outage_without_end(patches: Patches) -> None:
    """A key manager that does not answer is bridged for a day."""

    def bridge(self: Lease, error: Exception) -> None:
        terms, self._terms = self._terms, replace(self._terms, outage_grace=86_400)
        try:
            real(self, error)
        finally:
            self._terms = terms

    real = patches.put(Lease, "_bridge", bridge)


@_breaks("I5", "I7", customer=0.3)
def withheld_is_served(patches: Patches) -> None:
    """What the key manager has lost is handed out from the catalog's copy."""
    patches.put(existence.Existence, "_withhold", _nothing)
    patches.put(Vault, "_assure_standard_key", _nothing)


@_breaks("I1", calls=((Fate.GARBLED, 0.3),))
def listing_is_believed(patches: Patches) -> None:
    """What a listing misses counts as gone, without being asked for."""

    async def why(self: Any, instance: Instance, thing: Sealed) -> str:
        return "missing"

    patches.put(existence.Existence, "_why_gone", why)


# Between key manager and catalog.


@_breaks("I1", "I9", "I10")
def unknown_is_undone(patches: Patches) -> None:
    """A commit whose outcome nobody knows is taken for one that was refused."""

    async def commit(self: Any, work: Any) -> None:
        try:
            await real(self, work)
        except CatalogUnavailable:
            for managed in work.intended.values():
                vault = self._desk.vault
                standard_key = await vault.stored(self._session.instance, managed)
                await vault.discard(self._session.instance, replace(managed, standard_key=standard_key))
            raise

    real = patches.put(Conversation, "_commit", commit)


@_breaks("I9", "I10", skew=0.5, leap=0.1, administration=0.3)
def deleted_before_it_is_settled(patches: Patches) -> None:
    """The standard key of what comes to nothing is deleted while the reconciler may complete the object."""

    async def take_back(catalog: Any, vault: Vault, instance: Instance, managed: ManagedObject, entry: Any) -> None:
        with suppress(KmipError, CatalogUnavailable):
            if await catalog.load(managed.instance, managed.unique_identifier) is None:
                await vault.discard(instance, replace(managed, standard_key=await vault.stored(instance, managed)))
                await catalog.commit(Unit(entries=(entry,), settled=(managed.unique_identifier,)))

    patches.put(batch, "take_back", take_back)


@_breaks("I10")
def nothing_is_reconciled(patches: Patches) -> None:
    """What a crash has left stays as it is."""

    async def complete(*arguments: Any) -> bool:
        return False

    patches.put(reconcile, "_complete", complete)


@_breaks("I9", "I10", customer=0.4)
def deleted_before_the_switch(patches: Patches) -> None:
    """The old standard key is deleted before its successor counts."""

    async def switch(self: Any, thing: Sealed, fields: Any, leftover: Any) -> None:
        if leftover is not None:
            await self._manager.delete_standard_key(leftover.standard_key)
        await real(self, thing, fields, leftover)

    real = patches.put(successors.Successors, "_switch", switch)


# People.


@_breaks("I9", administration=0.6)
def one_person_is_enough(patches: Patches) -> None:
    """Who has asked may agree."""
    patches.put(approvals, "_check_people", _nothing)


@_breaks("I9")
def nobody_is_asked(patches: Patches) -> None:
    """Dual control is not looked at."""
    patches.put(key_steps, "agreed", _nothing)


@_breaks("I9")
def purged_at_once(patches: Patches) -> None:
    """The server purges what was destroyed a moment ago."""
    patches.put(Purging, "_is_due", lambda self, managed: True)


def units_catalog() -> Any:
    """The class that commits."""
    return next(each for each in SqliteCatalog.__mro__ if "commit" in vars(each))


async def _quietly(work: Any) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - nobody hears of it
        return


def _disclosed(plaintext: Any, blob: Any) -> Any:
    with memoryview(plaintext.reveal()) as whole:
        return Secret(Vanishing(whole[: len(whole) - sealing.BOUND]))
