"""Where rebuilt keys go: their instances, as they are or made again from what the wrapped keys say."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Hierarchy, Home, Instance, InstanceStatus, Storage, WrappingKey
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused
from keyrack.service.copies.copies import Copy, Label
from keyrack.service.copies.opening import Opening, OpenWrappingKey, wipe
from keyrack.service.copies.sorting import Copies, born, home_of, homes, ranked, wrapping_key_of
from keyrack.service.office.administration import Administration, check_instance_name
from keyrack.service.office.refusals import Refused
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.standard_keys import name_of

ACTION = "instance.rebuild"
_ACTIVE = 1


@dataclass(slots=True, eq=False)
class Place:
    """One instance, with what opens its keys."""

    instance: Instance
    """As it is, or shall be."""
    there: Instance | None
    """As the catalog has it."""
    is_new: bool
    """It is made again."""
    newest: Mapping[Home, str]
    """The version that wraps now, of each root key that is usable."""
    unusable: Mapping[Home, str]
    """Why the others are not."""
    under: Mapping[str, OpenWrappingKey] = field(default_factory=dict, repr=False)
    wrapping_key_id: str = ""
    """The wrapping key of an instance of two levels."""
    wrapping_key: WrappingKey | None = None
    """To be entered along with the instance."""
    entering: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def homes(self) -> Sequence[Home]:
        """Where its keys may be wrapped."""
        former = self.instance.former
        return [self.instance.home] if former is None else [self.instance.home, former]

    @property
    def due(self) -> bool:
        """Whether something of the instance itself is to be entered."""
        return self.there != self.instance or self.wrapping_key is not None

    def check_usable(self, copy: Copy) -> None:
        """Raise ``CryptographicFailure`` for a root key that is not usable: no key under it need be tried."""
        home = home_of(copy)
        if home is not None and home in self.unusable:
            raise CryptographicFailure(f"its root key {home.root_key} is not usable: {self.unusable[home]}")

    def fits(self, copy: Copy) -> bool:
        """Whether the instance will be able to open what this copy says."""
        home = home_of(copy)
        return copy.wrapped.header.root_key == self.wrapping_key_id if home is None else home in self.homes


class Places:
    """The places of one rebuild."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        key_managers: Mapping[str, KeyManager],
        opening: Opening,
    ) -> None:
        self._catalog = catalog
        self._administration = administration
        self._key_managers = key_managers
        self._opening = opening
        self._places: dict[str, Place] = {}

    async def find(self, identifier: str, copies: Copies) -> Place:
        """The place of these copies, all of one instance; its wrapping keys are opened. ``close`` wipes them.

        Raises ``sorting.Undecided`` where the copies do not tell the instance's home.
        """
        known = {each.identifier: each for each in await self._catalog.instances()}
        there = known.get(identifier)
        newest, unusable = await self._looked_at(
            {home for held in copies.values() for copy in held if (home := home_of(copy))}
        )
        instance = _made(identifier, copies, newest) if there is None else _extended(there, copies, newest)
        place = self._places[identifier] = Place(instance, there, there is None, newest, unusable)
        kept = await self._catalog.wrapping_key(identifier)
        found = {**copies, kept.unique_identifier: [_as_copy(instance, kept)]} if kept else copies
        place.under = await self._opening.wrapping_keys(
            {unique_identifier: ranked(held, place.homes, newest) for unique_identifier, held in found.items()}
        )
        place.wrapping_key_id = kept.unique_identifier if kept else wrapping_key_of(copies) or ""
        if kept is None:
            place.wrapping_key = self._found(place)
        return place

    def name(self, wanted: str | None, taken: Sequence[str]) -> None:
        """Name the instances that are made again; ``wanted`` is for the only one. Raises ``Refused``."""
        made = [place for place in self._places.values() if place.is_new]
        if wanted is not None and made:
            check_instance_name(wanted)
            if len(made) > 1:
                raise Refused(f"{len(made)} instances are made again, and one name does not do for all: leave it out")
            if wanted in taken:
                raise Refused(f"there is an instance {wanted!r} already; choose another name")
        for place in made:
            identifier = place.instance.identifier
            short = f"kmip-{identifier[:8]}"
            place.instance = replace(place.instance, name=wanted or (f"kmip-{identifier}" if short in taken else short))

    async def ensure(self, place: Place) -> None:
        """Enter what of the instance itself is due, before the first of its keys."""
        async with place.entering:
            if not place.due:
                return
            instance = place.instance
            await self._administration.commit(
                ACTION,
                instance.identifier,
                instance.identifier,
                {"name": instance.name, "key_manager": instance.key_manager, "root_key": instance.root_key},
                instances=(instance,) if instance != place.there else (),
                wrapping_keys=(place.wrapping_key,) if place.wrapping_key else (),
            )
            place.there, place.wrapping_key = instance, None

    @property
    def all(self) -> Sequence[Place]:
        """Every place that was found."""
        return tuple(self._places.values())

    def close(self) -> None:
        """Forget the wrapping keys."""
        for place in self._places.values():
            wipe(place.under)

    async def _looked_at(self, found: set[Home]) -> tuple[Mapping[Home, str], Mapping[Home, str]]:
        """Of these root keys, the newest versions of those that are active, and why the others are of no use."""
        newest, unusable = {}, {}
        for home in found:
            try:
                root_key = await self._key_managers[home.key_manager].describe_root_key(home.root_key)
            except KeyManagerRefused as error:
                unusable[home] = str(error)
                continue
            if root_key.state == _ACTIVE:
                newest[home] = root_key.version
            else:
                unusable[home] = f"it is in state {root_key.state}, and has to be active (1)"
        return newest, unusable

    def _found(self, place: Place) -> WrappingKey | None:
        opened = place.under.get(place.wrapping_key_id)
        if opened is None:
            return None
        return WrappingKey(
            unique_identifier=opened.copy.unique_identifier,
            instance=place.instance.identifier,
            created_at=opened.copy.wrapped.header.context.created_at,
            sealed=self._opening.sealed(opened.copy),
            standard_key=opened.copy.label.identifier,
        )


def _made(identifier: str, copies: Copies, newest: Mapping[Home, str]) -> Instance:
    """The instance that the copies tell of; it has no name yet."""
    found = homes(copies, newest)
    return Instance(
        identifier=identifier,
        name="",
        status=InstanceStatus.INSTALLED,
        key_manager=found.home.key_manager,
        root_key=found.home.root_key,
        former=found.former,
        storage=Storage.KEY_MANAGER,
        hierarchy=Hierarchy.DIRECT if wrapping_key_of(copies) is None else Hierarchy.TWO_LEVEL,
        created_at=min(map(born, copies.values())),
    )


def _extended(there: Instance, copies: Copies, newest: Mapping[Home, str]) -> Instance:
    """The instance of the catalog; where it has moved, and keys at the former home were lost, with that one again."""
    elsewhere = {}
    for unique_identifier, held in copies.items():
        at = {home_of(copy) for copy in held} - {None}
        if at and there.home not in at:
            elsewhere[unique_identifier] = held
    if there.former is not None or not elsewhere:
        return there
    return replace(there, former=homes(elsewhere, newest).home)


def _as_copy(instance: Instance, kept: WrappingKey) -> Copy:
    label = Label(instance.key_manager, kept.standard_key or "", name_of(kept.unique_identifier))
    return Copy(label, kept.sealed, blobs.parse(kept.sealed))
