"""One change of an instance: decided on the instance as it is now, and committed whole, with why it is where it is."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from keyrack.domain.instance_status import ImpossibleStep, StatusEvent, after
from keyrack.domain.instances import Instance, InstanceStatus
from keyrack.domain.rights import Right
from keyrack.ports.catalog import AlreadyThere, Conflict, InstanceChanged
from keyrack.service.office.refusals import ChangedMeanwhile, NameTaken, Refused, WrongStatus

if TYPE_CHECKING:
    from keyrack.service.office.administration import Administration

ATTEMPTS: Final = 8
"""How often a change is decided anew when another one of the instance came first."""
LONGEST_REASON: Final = 400
_INSTEAD: Final[Mapping[tuple[InstanceStatus, StatusEvent], str]] = {
    (InstanceStatus.INSTALLED, StatusEvent.REMOVE): "instance {name!r} is Installed, and its clients are served; "
    "deactivate it first: keyrack instance deactivate {name}",
    (InstanceStatus.CONFIGURING, StatusEvent.REMOVE): "instance {name!r} is just being configured, or moved; "
    "deactivate it first: keyrack instance deactivate {name}",
    (InstanceStatus.INSTALLED, StatusEvent.CONFIGURE): "instance {name!r} is Installed already; 'keyrack instance "
    "change-root-key' gives it another root key, and 'keyrack instance deactivate' takes it out of service",
}
"""What to do instead, for the steps that people try most."""


def step(instance: Instance, event: StatusEvent, reason: str = "") -> Instance:
    """The instance after ``event``; raises :class:`WrongStatus` with what can be done instead."""
    instead = _INSTEAD.get((instance.status, event))
    if instead is not None:
        raise WrongStatus(instead.format(name=instance.name))
    try:
        return after(instance, event, reason[:LONGEST_REASON])
    except ImpossibleStep as error:
        why = f"; it is so because {instance.reason}" if instance.reason else ""
        raise WrongStatus(f"instance {instance.name!r}: {error}{why}") from None


async def change(
    administration: "Administration",
    name: str,
    right: Right,
    action: str,
    become: Callable[[Instance], Instance],
    *,
    seen: Instance | None = None,
    detail: Callable[[Instance, Instance], Mapping[str, str | int]] = lambda before, after: {},
    **more: Any,
) -> tuple[Instance, bool]:
    """Change an instance; answers it as it is now, and whether that is new.

    ``seen``: as whoever asks has seen it; where it is another by now, :class:`ChangedMeanwhile` is raised. Without it
    the change is decided anew on what came first.
    """
    for _ in range(ATTEMPTS):
        found = await administration.instance(name)
        administration.require(right, found.identifier)
        if seen is not None and not found.is_as(seen):
            raise changed_meanwhile(found)
        wanted = become(found)
        if wanted == found:
            return found, False
        try:
            await changed(administration, action, found, wanted, detail(found, wanted), **more)
        except ChangedMeanwhile:
            continue
        return wanted, True
    raise ChangedMeanwhile(f"instance {name!r} is being changed by others just now; look at it, and try again")


async def changed(
    administration: "Administration",
    action: str,
    before: Instance,
    after: Instance,
    detail: Mapping[str, str | int],
    **more: Any,
) -> None:
    """Commit one instance in the place of another; raises :class:`ChangedMeanwhile` where that is not there any more.

    ``more``: further fields of the unit, and ``outcome`` of its entry.
    """
    try:
        await administration.commit(
            action,
            after.identifier,
            after.identifier,
            {"name": after.name, **detail},
            seen_instances=(before,),
            instances=(after,),
            touched=administration.touched(after.identifier),
            **more,
        )
    except InstanceChanged:
        raise changed_meanwhile(before) from None
    except AlreadyThere:
        raise NameTaken(
            f"there is an instance {after.name!r} already; choose another name, or rename one of them", field="name"
        ) from None
    except Conflict:
        raise Refused(
            f"what hangs on instance {after.name!r} was changed just now; look at it, and try again"
        ) from None


def changed_meanwhile(instance: Instance) -> ChangedMeanwhile:
    """What whoever came second hears."""
    return ChangedMeanwhile(f"instance {instance.name!r} was changed just now by somebody else; look at it, try again")


def as_moving(instance: Instance) -> str:
    """The reason of an instance whose keys move; empty for one whose keys are all at home."""
    former = instance.former
    if former is None:
        return ""
    return f"its keys move from root key {former.root_key} of {former.key_manager}; its clients are served meanwhile"
