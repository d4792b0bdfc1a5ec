"""An instance goes in the safe order: deactivated first, and only when nothing hangs on it any more.

Nothing is destroyed with it. What hangs on it is told by name and number, each with the command that ends it.
"""

from collections.abc import Sequence
from typing import Final

from keyrack.domain.instance_status import StatusEvent
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.ports.catalog import Catalog, Conflict, Leftover, StillUsed
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import ALONE, Consent, KeyCatalog, Wish, agreed, allowed
from keyrack.service.office.changing import changed_meanwhile, step
from keyrack.service.office.refusals import NotThere, Refused, StillHanging

NAMED: Final = 3
"""Of each kind of thing, how many are told by name."""
_PAGE: Final = 500


async def check(catalog: KeyCatalog, instance: Instance) -> None:
    """Return where the instance can be removed; raises what :func:`remove` raises of it."""
    step(instance, StatusEvent.REMOVE)
    hanging = await hanging_on(catalog, instance)
    if hanging:
        told = "\n  ".join((f"instance {instance.name!r} is not removed, since this hangs on it:", *hanging))
        raise StillHanging(told, hanging)


async def remove(
    administration: Administration,
    catalog: KeyCatalog,
    name: str,
    *,
    seen: Instance | None = None,
    consent: Consent = ALONE,
) -> Instance:
    """Remove an instance on which nothing hangs; answers it as it was. The journal keeps its entries.

    Raises :class:`StillHanging` with everything that is in the way, ``Refused`` while it is not deactivated, and
    ``SecondPersonNeeded`` where two people must want it.
    """
    found = await administration.instance(name)
    allowed(administration, Right.INSTANCE_REMOVE, found.identifier, consent)
    if seen is not None and not found.is_as(seen):
        raise changed_meanwhile(found)
    await check(catalog, found)
    wish = Wish(
        act="instance.remove",
        instance=found.identifier,
        target=found.identifier,
        arguments={"name": found.name, "status": str(found.status)},
        told=f"remove instance {found.name!r}",
    )
    two = found.dual_control_at is not None
    affairs = await agreed(administration, catalog, wish, needed=two, consent=consent)
    try:
        await administration.commit(
            "instance.remove",
            found.identifier,
            found.identifier,
            {"name": found.name, "key_manager": found.key_manager},
            seen_instances=(found,),
            bare=(found.identifier,),
            removed_instances=(found.identifier,),
            leftovers=await _left_behind(catalog, found, administration.now),
            key_affairs=affairs,
        )
    except StillUsed:
        await check(catalog, found)
        raise Refused(f"something came to instance {found.name!r} just now; look at it, and try again") from None
    except Conflict:
        if any(each.identifier == found.identifier for each in await catalog.instances()):
            raise changed_meanwhile(found) from None
        raise NotThere(f"instance {found.name!r} was removed just now") from None
    return found


async def hanging_on(catalog: KeyCatalog, instance: Instance) -> Sequence[str]:
    """Everything that keeps the instance from being removed, in the order in which to end it."""
    name = instance.name
    living, restorable = await _kept_keys(catalog, instance)
    under_way = [each for each in await catalog.intents() if each.instance == instance.identifier]
    certificates = await catalog.certificates(instance.identifier)
    authorities = await catalog.authorities(instance.identifier)
    told = [
        (len(living), "key that is not destroyed", living, f"keyrack key destroy {name} KEY"),
        (len(restorable), "destroyed key that can still be taken back", restorable, f"keyrack key purge {name} KEY"),
        (len(under_way), "key that is just being made, or that a crash has left", [], "it is settled within minutes"),
        (
            len(certificates),
            "client certificate",
            [each.name for each in certificates],
            f"keyrack cert remove {name} FINGERPRINT",
        ),
        (
            len(authorities),
            "trusted authority",
            [each.name for each in authorities],
            f"keyrack authority remove {name} AUTHORITY",
        ),
    ]
    return [_told(number, what, names, way) for number, what, names, way in told if number]


def _told(number: int, what: str, names: Sequence[str], way: str) -> str:
    noun, _, rest = what.partition(" that ")
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun != "key" else f"{noun}s"
    counted = f"{number} {noun if number == 1 else plural}"
    counted += f" that {rest if number == 1 else rest.replace('is ', 'are ')}" if rest else ""
    some = ", ".join(names[:NAMED]) + (", …" if number > NAMED and names else "")
    return f"{counted} ({some}): {way}" if some else f"{counted}: {way}"


async def _kept_keys(catalog: Catalog, instance: Instance) -> tuple[list[str], list[str]]:
    """The keys that live, and those that could be taken back, each as people know it."""
    living: list[str] = []
    restorable: list[str] = []
    after = ""
    while page := await catalog.objects(instance.identifier, after, _PAGE):
        for managed in page:
            if managed.state not in DESTROYED_STATES:
                living.append(_called(managed))
            elif managed.sealed is not None or managed.standard_key is not None:
                restorable.append(_called(managed))
        after = page[-1].unique_identifier
    return living, restorable


def _called(managed: ManagedObject) -> str:
    """The beginning of its identifier, which every command takes."""
    return managed.unique_identifier[:8]


async def _left_behind(catalog: Catalog, instance: Instance, now: int) -> Sequence[Leftover]:
    """The standard key of the wrapping key: no key is under it any more, and the server deletes it as any leftover."""
    wrapping_key = await catalog.wrapping_key(instance.identifier)
    if wrapping_key is None or wrapping_key.standard_key is None:
        return ()
    return (
        Leftover(
            key_manager=instance.key_manager,
            standard_key=wrapping_key.standard_key,
            instance=instance.identifier,
            unique_identifier=wrapping_key.unique_identifier,
            why="removed",
            at=now,
        ),
    )
