"""What an administrator does with keys: the steps of the lifecycle, for one key or for many at once, all or none.

What can stop a machine is confirmed with the words that ``service.office.impact`` asks for, and where the instance is
under dual control what ends a key waits for a second person (``service.office.approvals``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from keyrack.domain import lifecycle
from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import DESTROYED_STATES, Event
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.ports.key_affairs import KeyRow
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import ALONE, Consent, KeyCatalog
from keyrack.service.office.impact import fetched_lately
from keyrack.service.office.key_steps import Change, Step, check_purgeable, done, is_purged, purged
from keyrack.service.office.keys import Windows, destroyed_at
from keyrack.service.office.refusals import TooEarly, Unusable, WrongState
from keyrack.spec.enumerations import RevocationReasonCode, State
from keyrack.spec.structures import RevocationReason

LONGEST_WHY: Final = 200
COMPROMISES: Final = (RevocationReasonCode.KEY_COMPROMISE, RevocationReasonCode.CA_COMPROMISE)
REASONS: Final = tuple(each for each in RevocationReasonCode if each not in COMPROMISES)
"""What a key is deactivated for."""


async def activate(
    administration: Administration, catalog: KeyCatalog, instance: Instance, prefixes: Sequence[str]
) -> Sequence[KeyRow]:
    """Make Pre-Active keys Active."""
    step = Step(
        action="key.activate",
        right=Right.KEY_ACTIVATE,
        verb="activate",
        change=_event(administration, Event.ACTIVATE),
        detail={},
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=None, consent=ALONE)


async def restore(
    administration: Administration, catalog: KeyCatalog, instance: Instance, prefixes: Sequence[str], *, why: str = ""
) -> Sequence[KeyRow]:
    """Make Deactivated keys Active again: VMware's remedy for a key that was deactivated by mistake."""
    step = Step(
        action="key.reactivate",
        right=Right.KEY_RESTORE,
        verb="restore",
        change=_event(administration, Event.RESTORE),
        detail=_why(why),
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=None, consent=ALONE)


async def deactivate(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    prefixes: Sequence[str],
    *,
    reason: RevocationReasonCode = RevocationReasonCode.CESSATION_OF_OPERATION,
    why: str = "",
    confirmation: str | None = None,
) -> Sequence[KeyRow]:
    """Make Active keys Deactivated; ``why`` becomes the Revocation Message. Raises ``ConfirmationNeeded``."""
    if reason not in REASONS:
        raise Unusable(f"{reason.title} is a reason to mark a key compromised, not to deactivate it", field="reason")
    revocation = RevocationReason(revocation_reason_code=reason, revocation_message=why or None)
    step = Step(
        action="key.deactivate",
        right=Right.KEY_DEACTIVATE,
        verb="deactivate",
        stops="vCenter and hosts do not use a deactivated key any more: machines that restart may not start",
        change=_event(administration, Event.DEACTIVATE, revocation_reason=revocation),
        detail={**_why(why), "reason": reason.title},
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=confirmation, consent=ALONE)


async def compromise(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    prefixes: Sequence[str],
    *,
    reason: RevocationReasonCode = RevocationReasonCode.KEY_COMPROMISE,
    occurred_at: int | None = None,
    why: str = "",
    confirmation: str | None = None,
) -> Sequence[KeyRow]:
    """Mark keys compromised, since ``occurred_at`` (seconds since 1970) as far as that is known; for ever."""
    if reason not in COMPROMISES:
        raise Unusable(f"{reason.title} is no compromise", field="reason")
    if occurred_at is not None and not 0 <= occurred_at <= administration.now:
        raise Unusable("a compromise that is known of has occurred in the past", field="occurred_at")
    revocation = RevocationReason(revocation_reason_code=reason, revocation_message=why or None)
    step = Step(
        action="key.compromise",
        right=Right.KEY_DEACTIVATE,
        verb="mark as compromised",
        stops="vCenter and hosts do not use a compromised key any more, and nothing makes it Active again",
        change=_event(
            administration, Event.COMPROMISE, revocation_reason=revocation, compromise_occurrence_date=occurred_at
        ),
        detail={**_why(why), "reason": reason.title, **({} if occurred_at is None else {"occurred_at": occurred_at})},
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=confirmation, consent=ALONE)


async def destroy(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    prefixes: Sequence[str],
    *,
    windows: Windows,
    why: str = "",
    confirmation: str | None = None,
    consent: Consent = ALONE,
) -> Sequence[KeyRow]:
    """Destroy keys softly: no client gets them any more; until the window ends they can be recovered."""
    days = windows.destroyed // 86_400
    step = Step(
        action="key.destroy",
        right=Right.KEY_DESTROY,
        verb="destroy",
        stops=f"no machine that needs it starts any more; it can be recovered for {days} days, then it is purged",
        change=_event(administration, Event.DESTROY),
        detail=_why(why),
        needs_two=lambda rows: any(_lately(row, administration.now) for row in rows),
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=confirmation, consent=consent)


async def recover(
    administration: Administration, catalog: KeyCatalog, instance: Instance, prefixes: Sequence[str], *, why: str = ""
) -> Sequence[KeyRow]:
    """Take a destruction back, as long as nothing was purged: each key is in the state again that its dates tell."""

    def recovered(managed: ManagedObject) -> ManagedObject:
        if managed.state in DESTROYED_STATES and is_purged(managed):
            raise WrongState("it was purged: nothing brings it back but a backup of the catalog")
        return _stepped(managed, lifecycle.recovery_of(managed), at=administration.now)

    step = Step(
        action="key.recover",
        right=Right.KEY_RESTORE,
        verb="recover",
        change=recovered,
        detail=_why(why),
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=None, consent=ALONE)


async def purge(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    prefixes: Sequence[str],
    *,
    windows: Windows,
    why: str = "",
    confirmation: str | None = None,
    consent: Consent = ALONE,
) -> Sequence[KeyRow]:
    """Purge destroyed keys before their window ends, for good: nothing brings them back. Raises ``TooEarly``."""

    def change(managed: ManagedObject) -> ManagedObject:
        check_purgeable(managed)
        earliest = (destroyed_at(managed) or 0) + windows.purge
        if administration.now < earliest:
            hours, at = windows.purge / 3600, datetime.fromtimestamp(earliest, UTC)
            raise TooEarly(f"a destroyed key can be purged after {hours:g} h, this one from {at:%Y-%m-%d %H:%M}Z on")
        return purged(managed)

    step = Step(
        action="key.purge",
        right=Right.KEY_PURGE,
        verb="purge",
        stops="whatever it has encrypted is lost for ever, backups too; nothing brings it back",
        change=change,
        detail=_why(why),
        needs_two=lambda rows: True,
    )
    return await done(administration, catalog, instance, prefixes, step, confirmation=confirmation, consent=consent)


def _event(administration: Administration, event: Event, **more: Any) -> Change:
    return lambda managed: _stepped(managed, event, at=administration.now, **more)


def _stepped(managed: ManagedObject, event: Event, *, at: int, **more: Any) -> ManagedObject:
    if event is Event.DESTROY and managed.state is State.ACTIVE:
        raise WrongState("it is Active: deactivate it first, then destroy it")
    try:
        return lifecycle.after(managed, event, at=at, **more)
    except KmipError as error:
        raise WrongState(str(error)) from None


def _why(why: str) -> dict[str, str | int]:
    if len(why) > LONGEST_WHY or not why.isprintable():
        raise Unusable(f"a reason is one line of at most {LONGEST_WHY} printable characters", field="why")
    return {"why": why} if why else {}


def _lately(row: KeyRow, now: int) -> bool:
    return row.fetch is not None and fetched_lately(row.fetch.at // 1000, now)
