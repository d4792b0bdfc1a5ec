"""What becomes of an instance that is there: taken out of service and put back, renamed, described."""

from dataclasses import replace
from typing import Final

from keyrack.domain.instance_status import StatusEvent
from keyrack.domain.instances import Instance, InstanceStatus
from keyrack.domain.moments import rfc3339
from keyrack.domain.rights import Right
from keyrack.service.office.administration import Administration
from keyrack.service.office.admissions import AdmissionCatalog
from keyrack.service.office.changing import as_moving, change, step
from keyrack.service.office.impact import confirm_for, impact_of
from keyrack.service.office.installing import NOT_CONFIGURED, check_description, check_instance_name
from keyrack.service.office.refusals import Unusable, WrongStatus

LONGEST_WHY: Final = 200


async def deactivate(
    administration: Administration,
    catalog: AdmissionCatalog,
    name: str,
    *,
    why: str = "",
    confirmation: str | None = None,
    seen: Instance | None = None,
) -> tuple[Instance, bool]:
    """Take an instance out of service; answers it as it is now, and whether that is new.

    When this returns, no client of it is served in any process; within a second its connections are closed. Nothing is
    lost by it. Raises ``Refused``, and ``ConfirmationNeeded`` where clients or keys hang on it.
    """
    if len(why) > LONGEST_WHY or not why.isprintable():
        raise Unusable(f"a reason is one line of at most {LONGEST_WHY} printable characters", field="why")
    found = await administration.instance(name)
    administration.require(Right.INSTANCE_CHANGE, found.identifier)
    if found.status is not InstanceStatus.INACTIVE:
        await confirm_stop(administration, catalog, found, "deactivated", "activated", confirmation)
    by, at = administration.administrator.initiator, rfc3339(administration.now)
    reason = f"deactivated by {by} on {at}" + (f": {why}" if why else "")

    def become(now: Instance) -> Instance:
        return now if now.status is InstanceStatus.INACTIVE else step(now, StatusEvent.DEACTIVATE, reason)

    return await change(
        administration,
        found.identifier,
        Right.INSTANCE_CHANGE,
        "instance.deactivate",
        become,
        seen=seen,
        detail=lambda before, after: {"why": why} if why else {},
    )


async def confirm_stop(  # noqa: PLR0917 - two words and what they are about
    administration: Administration,
    catalog: AdmissionCatalog,
    instance: Instance,
    done: str,
    undone: str,
    given: str | None,
) -> None:
    """Return where nothing hangs on the instance, or ``given`` is its name; else raise what :func:`confirm_for` does.

    ``done`` and ``undone`` say what is about to happen to it, and what ends that.
    """
    if given is not None and given.strip() == instance.name:
        return  # What may stop was told with the question: to look at every key again takes seconds, in an emergency.
    ways = len(await catalog.certificates(instance.identifier)) + len(await catalog.authorities(instance.identifier))
    impact = await impact_of(catalog, instance, administration.now)
    if ways or impact.total:
        told = (
            f"once instance {instance.name!r} is {done}, machines and hosts that restart get none of its keys until it"
        )
        confirm_for(impact, instance, f"{told} is {undone} again", given, certificates=ways)


async def activate(administration: Administration, name: str, *, seen: Instance | None = None) -> tuple[Instance, bool]:
    """Put a deactivated instance into service again; answers it as it is now, and whether that is new.

    Raises ``Refused``, for one that was never configured too.
    """

    def become(now: Instance) -> Instance:
        if now.serves:
            return now
        if not now.configured:
            raise WrongStatus(
                f"instance {now.name!r} cannot be activated: {NOT_CONFIGURED}; give it one: keyrack instance configure "
                f"{now.name}"
            )
        event = StatusEvent.ACTIVATE if now.former is None else StatusEvent.RESUME
        return step(now, event, as_moving(now))

    return await change(administration, name, Right.INSTANCE_CHANGE, "instance.activate", become, seen=seen)


async def rename(
    administration: Administration, name: str, new_name: str, *, seen: Instance | None = None
) -> tuple[Instance, bool]:
    """Give an instance another name, which no other has; keys and clients stay what they were. Raises ``Refused``."""
    check_instance_name(new_name)
    return await change(
        administration,
        name,
        Right.INSTANCE_CHANGE,
        "instance.rename",
        lambda now: replace(now, name=new_name),
        seen=seen,
        detail=lambda before, after: {"former_name": before.name},
        new_instance_names=(new_name,),
    )


async def describe(
    administration: Administration, name: str, description: str, *, seen: Instance | None = None
) -> tuple[Instance, bool]:
    """Say what an instance is for. Raises ``Refused``."""
    check_description(description)
    return await change(
        administration,
        name,
        Right.INSTANCE_CHANGE,
        "instance.describe",
        lambda now: replace(now, description=description),
        seen=seen,
        detail=lambda before, after: {"description": after.description},
    )
