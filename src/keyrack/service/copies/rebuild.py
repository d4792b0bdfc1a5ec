"""Rebuilds a catalog, or what is missing in it, from the standard keys of its key managers alone.

A wrapped key says whose it is and what it is. It is entered once it is authentic and opens; where the integrity root
was lost too, that it opens, with the strings, the hash and the key check value that bind it, is the proof. Nothing in
the catalog is overwritten and nothing in a key manager is changed: the same command goes on where it was broken off.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Instance
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager
from keyrack.service.copies.copies import Copy, Label, belonging, gather, labels
from keyrack.service.copies.each import each
from keyrack.service.copies.entering import enter, names_of, without_names
from keyrack.service.copies.opening import Opening
from keyrack.service.copies.places import Place, Places
from keyrack.service.copies.recovered import NoObject, is_wrapping_key, object_of
from keyrack.service.copies.sorting import Copies, Sorted, Undecided, born, ranked, sort
from keyrack.service.copies.strangers import Strange, Stranger, stranger, unreadable
from keyrack.service.moves.walk import Report, silently
from keyrack.service.office.administration import Administration
from keyrack.service.vault.description import recall
from keyrack.service.vault.envelope import Vault

ACTION = "key.rebuild"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to rebuild."""

    root_key: str | None = None
    """Only what this root key has wrapped."""
    instance_name: str | None = None
    """For the one instance that is made again."""
    quick: bool = False
    """Trust the MAC and open nothing: there is no Digest then, and no proof that the root key opens the keys."""
    authenticate_anew: bool = False
    """Accept what another integrity root has authenticated, although some keys bear the MAC of this one."""
    dry_run: bool = False
    without: Collection[str] = ()
    """Unique Identifiers of what shall not come back."""
    shape: Callable[[ManagedObject], ManagedObject] | None = None
    """What is known of an object besides, before it is entered."""


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild has come to; in a dry run, would come to."""

    keys: int = 0
    anew: int = 0
    """Of them, authenticated by this deployment's integrity root for the first time."""
    there: int = 0
    """Standard keys of objects that the catalog has."""
    instances: list[Instance] = field(default_factory=list)
    """Those that keys were entered into, new ones and old ones."""
    made: set[str] = field(default_factory=set)
    """Identifiers of those that were made again."""
    by_instance: dict[str, int] = field(default_factory=dict)
    nameless: list[tuple[str, str]] = field(default_factory=list)
    """Unique Identifiers with a name that went to a younger object, or that another one bears."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """What was not entered, by Unique Identifier or name of the standard key, with why."""
    strangers: list[Stranger] = field(default_factory=list)
    stopped: bool = False
    """So much failed in a row that the rest was not tried."""


@dataclass(frozen=True, slots=True)
class _Due:
    """An object to be made again."""

    place: Place
    unique_identifier: str
    copies: Sequence[Copy]


class Rebuild:
    """One rebuild."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        *,
        deployment: str,
        wishes: Wishes,
    ) -> None:
        """From these key managers, by the names that the instances shall bear."""
        self._catalog = catalog
        self._administration = administration
        self._key_managers = key_managers
        self._deployment = deployment
        self._wishes = wishes
        self._opening = Opening(vault.wrapping, accepts_any_mac=wishes.authenticate_anew)
        self._places = Places(catalog, administration, key_managers, self._opening)
        self._rebuilt = Rebuilt()

    async def run(
        self, *, reading: Report = silently, entering: Report = silently, rate: float | None = None
    ) -> Rebuilt:
        """List, read, open and enter; at most ``rate`` of each in a second.

        Raises the key manager's two failures where it does not even list, and ``Refused``.
        """
        rebuilt = self._rebuilt
        gathered = await gather(self._key_managers, await self._unknown(), report=reading, rate=rate)
        rebuilt.failures += gathered.failures
        rebuilt.stopped = gathered.stopped
        found = sort(gathered.copies, self._deployment)
        self._note_strangers(found)
        # With a single MAC of ours the integrity root is not lost, and the MAC of another is a warning.
        own = [copy for copies in found.own.values() for held in copies.values() for copy in held]
        self._opening.accepts_any_mac |= not any(map(self._opening.is_authentic, own))
        try:
            due = await self._due(found)
            outcome = await each(due, self._enter, called=lambda one: one.unique_identifier, report=entering, rate=rate)
            rebuilt.failures += outcome.failures
            rebuilt.stopped |= outcome.stopped
            await self._enter_empty_places()
        finally:
            self._places.close()
        return rebuilt

    async def _unknown(self) -> Sequence[Label]:
        known = await belonging(self._catalog)
        listed = await labels(self._key_managers)
        unknown = [label for label in listed if label.identifier not in known]
        self._rebuilt.there = len(listed) - len(unknown)
        return unknown

    def _note_strangers(self, found: Sorted) -> None:
        self._rebuilt.strangers += map(unreadable, found.other)
        self._rebuilt.strangers += [
            stranger(copy, Strange.DEPLOYMENT)
            for copies in found.foreign.values()
            for held in copies.values()
            for copy in held
        ]

    async def _due(self, found: Sorted) -> Sequence[_Due]:
        """Every object to be made again, oldest first, as the catalog shall list them; their places are found."""
        due = []
        for instance, copies in found.own.items():
            missing = await self._missing(instance, copies)
            if not missing:
                continue
            try:
                place = await self._places.find(instance, missing)
            except Undecided as error:
                told = f"{error}; name the one of its home with --root-key"
                self._rebuilt.failures += [(unique_identifier, told) for unique_identifier in missing]
                continue
            due += [
                _Due(place, uid, ranked(held, place.homes, place.newest))
                for uid, held in missing.items()
                if not is_wrapping_key(held[0].wrapped)
            ]
        self._places.name(self._wishes.instance_name, [each.name for each in await self._catalog.instances()])
        due.sort(key=lambda one: (born(one.copies), one.unique_identifier))
        self._claim_names(due)
        return due

    async def _missing(self, instance: str, copies: Copies) -> Copies:
        """Those that the catalog lacks, and that nobody is just making."""
        making = {intent.unique_identifier for intent in await self._catalog.intents()}
        wrapping_key = await self._catalog.wrapping_key(instance)
        missing = {}
        for unique_identifier, held in copies.items():
            there = wrapping_key is not None and wrapping_key.unique_identifier == unique_identifier
            if there or await self._catalog.load(instance, unique_identifier) is not None:
                self._rebuilt.there += 1
                self._rebuilt.strangers += [stranger(copy, Strange.FORMER) for copy in held]
            elif unique_identifier not in making and unique_identifier not in self._wishes.without:
                missing[unique_identifier] = self._trusted(unique_identifier, held)
        return {unique_identifier: held for unique_identifier, held in missing.items() if held}

    def _trusted(self, unique_identifier: str, copies: Sequence[Copy]) -> Sequence[Copy]:
        """Those that may say where their instance is at home: whoever can write there could write anything."""
        trusted, told = [], ""
        for copy in filter(self._wanted, copies):
            try:
                self._opening.check(copy)
                trusted.append(copy)
            except CryptographicFailure as error:
                told = str(error)
        if told and not trusted:
            self._rebuilt.failures.append((unique_identifier, told))
        return trusted

    def _wanted(self, copy: Copy) -> bool:
        header, wished = copy.wrapped.header, self._wishes.root_key
        return wished is None or header.two_level or header.root_key == wished

    def _claim_names(self, due: Sequence[_Due]) -> None:
        """Of two objects that were made with one name, the younger has it: the older one had given it up."""
        self._claims: dict[tuple[str, str], str] = {}
        for one in due:
            for each_name in recall(one.copies[0].wrapped.header.context.description).get("Name", ()):
                self._claims[one.place.instance.identifier, each_name.value.name_value] = one.unique_identifier

    async def _enter(self, one: _Due) -> bool:
        managed, copy = await self._recovered(one)
        managed = self._wishes.shape(managed) if self._wishes.shape is not None else managed
        uid, instance = one.unique_identifier, one.place.instance
        lost = [name for name in names_of(managed) if self._claims.get((instance.identifier, name), uid) != uid]
        anew = not self._opening.is_authentic(copy)
        if not self._wishes.dry_run:
            await self._places.ensure(one.place)
            detail = {"standard_key": copy.label.identifier, "key_manager": copy.label.key_manager}
            detail |= {"authenticated": "anew"} if anew else {}
            lost += await enter(self._catalog, self._administration, ACTION, without_names(managed, lost), detail)
        self._count(one, copy, lost, anew=anew)
        return True

    async def _recovered(self, one: _Due) -> tuple[ManagedObject, Copy]:
        """The object, and the copy that it was made of: the first that is authentic and opens."""
        copies = [copy for copy in one.copies if one.place.fits(copy)]
        if not copies:
            raise CryptographicFailure("it is wrapped elsewhere than where its instance is at home: name --root-key")
        try:
            if self._wishes.quick:
                self._check_unopened(copies[0])
                return object_of(copies[0].wrapped, copies[0].payload, copies[0].label.identifier, None), copies[0]
            one.place.check_usable(copies[0])
            copy, material = await self._opening.first(copies, one.place.under)
            with material:
                return object_of(copy.wrapped, self._opening.sealed(copy), copy.label.identifier, material), copy
        except NoObject as error:
            raise CryptographicFailure(str(error)) from error

    def _check_unopened(self, copy: Copy) -> None:
        if not self._opening.is_authentic(copy):
            raise CryptographicFailure("its MAC is not this deployment's, and only opening it proves it: no --quick")

    async def _enter_empty_places(self) -> None:
        """An instance of two levels of which no key is left, or none made yet, has its wrapping key all the same."""
        rebuilt = self._rebuilt
        for place in self._places.all:
            has_keys = place.instance.identifier in rebuilt.by_instance
            if place.wrapping_key is not None and not (self._wishes.dry_run or rebuilt.stopped):
                await self._places.ensure(place)
            if has_keys or (place.is_new and place.there is not None):
                rebuilt.instances.append(place.instance)
                rebuilt.made |= {place.instance.identifier} if place.is_new else set()

    def _count(self, one: _Due, used: Copy, lost: Sequence[str], *, anew: bool) -> None:
        rebuilt, instance = self._rebuilt, one.place.instance.identifier
        rebuilt.keys += 1
        rebuilt.anew += anew
        rebuilt.by_instance[instance] = rebuilt.by_instance.get(instance, 0) + 1
        rebuilt.nameless += [(one.unique_identifier, name) for name in lost]
        rebuilt.strangers += [stranger(copy, Strange.FORMER) for copy in one.copies if copy is not used]
