"""Root keys as an administrator of instances sees them: whose keys each of them wraps, and what stops without it.

The catalog alone is asked. What the key manager tells of its root keys is handed over.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyrack.domain.instances import Hierarchy, Instance
from keyrack.ports.back_office import RootKeyTold
from keyrack.ports.catalog import Validation
from keyrack.ports.key_affairs import KeyFilter
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import KeyCatalog
from keyrack.service.office.impact import MOST_SHOWN, Impact, impact_of
from keyrack.service.office.refusals import ConfirmationNeeded, Unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An instance whose keys a root key wraps."""

    instance: Instance
    keys: int
    """Those that are not destroyed."""
    wrapped: int
    """What the root key itself has wrapped: of an instance of two levels its wrapping key alone."""
    behind: int
    """How many of them an older version has wrapped."""
    clients: int
    """Client certificates in force."""


def uses(instance: Instance, key_manager: str, told: RootKeyTold) -> bool:
    """Whether the instance has this root key of the key manager of this configured name."""
    names, called = {key_manager}, {told.identifier}
    if told.details is not None:
        names.add(f"{key_manager}/{told.details.key_manager_instance}")
        called.update(told.details.aliases)
    homes = [instance.home, *([instance.former] if instance.former is not None else [])]
    return any(home.key_manager in names and home.root_key in called for home in homes)


async def users_of(
    administration: Administration, catalog: KeyCatalog, key_manager: str, told: Sequence[RootKeyTold]
) -> Mapping[str, Sequence[User]]:
    """The instances that use each root key, by its identifier; raises ``CatalogUnavailable``."""
    instances, seen = await administration.instances(), await catalog.validations()
    clients = Counter(each.instance for each in await catalog.certificates(None))
    found: dict[str, list[User]] = {each.identifier: [] for each in told}
    for instance in instances:
        for each in told:
            if instance.configured and uses(instance, key_manager, each):
                found[each.identifier].append(
                    await _user(catalog, instance, each, seen.get(instance.identifier), clients, administration.now)
                )
    return found


async def _user(  # noqa: PLR0917 - what one user is made of
    catalog: KeyCatalog,
    instance: Instance,
    told: RootKeyTold,
    seen: Validation | None,
    clients: Mapping[str, int],
    now: int,
) -> User:
    living = await catalog.living(instance.identifier)
    if instance.hierarchy is Hierarchy.TWO_LEVEL:
        wrapped = int(await catalog.wrapping_key(instance.identifier) is not None)
    else:
        wrapped = living + await catalog.count_keys(instance.identifier, KeyFilter(recoverable=True), now)
    return User(
        instance=instance,
        keys=living,
        wrapped=wrapped,
        behind=min(wrapped, _behind(told, seen, wrapped)),
        clients=clients.get(instance.identifier, 0),
    )


def _behind(told: RootKeyTold, seen: Validation | None, wrapped: int) -> int:
    """What was counted last; after a rotation that nobody has counted after, whatever there is."""
    if told.details is not None and len(told.details.versions) == 1:
        return 0
    if seen is None or not seen.root_key_version:
        # Where the key manager does not tell how many versions there are, nothing says that there was a rotation.
        return wrapped if told.details is not None else 0
    return seen.behind if seen.root_key_version == told.version else wrapped


async def impact_of_root_key(catalog: KeyCatalog, users: Sequence[User], now: int) -> Mapping[str, Any]:
    """What stops while no key under a root key is handed out, of all its instances together, as JSON has it."""
    found = [await impact_of(catalog, each.instance, now) for each in users]
    keys = sorted((key for each in found for key in each.keys), key=lambda key: key.fetched_at or 0, reverse=True)
    whole = Impact(
        instance=", ".join(each.instance.name for each in users),
        keys=keys[:MOST_SHOWN],
        total=sum(each.total for each in found),
        components=sum((Counter(each.components) for each in found), Counter()),
        unnamed=sum(each.unnamed for each in found),
        fetched_lately=sum(each.fetched_lately for each in found),
    )
    told = [
        {"instance": each.instance.name, "keys": of.total, "clients": each.clients}
        for each, of in zip(users, found, strict=True)
    ]
    return {**whole.as_json(), "instances": told}


async def confirm_root_key(  # noqa: PLR0917 - an act, whole
    catalog: KeyCatalog, name: str, users: Sequence[User], told: str, given: str | None, now: int
) -> None:
    """Return where ``given`` is the name of the root key; raise ``ConfirmationNeeded``, or ``Unusable``."""
    if given is None:
        raise ConfirmationNeeded(told, name, await impact_of_root_key(catalog, users, now))
    if given.strip() != name.strip():
        raise Unusable(
            f"the confirmation is not the root key's name, {name!r}; nothing was changed", field="confirmation"
        )
