"""How any act on keys goes: found, decided, confirmed, agreed to, committed; for many keys at once, all or none."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain import attributes, lifecycle
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.ports.catalog import AlreadyThere, Conflict, Leftover
from keyrack.ports.key_affairs import KeyRow
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import Consent, KeyCatalog, Wish, agreed, allowed
from keyrack.service.office.impact import confirm, impact_of_rows, named_of, state_title, words_of
from keyrack.service.office.keys import found, key_manager_of
from keyrack.service.office.refusals import ChangedMeanwhile, LimitReached, NameTaken, TooEarly, WrongState
from keyrack.spec.enumerations import ObjectType

MOST_AT_ONCE: Final = 500
"""Keys of one act; more than a person looks through."""
ATTEMPTS: Final = 8
"""How often an act is decided anew when a client's change came first."""

Change = Callable[[ManagedObject], ManagedObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One act: what it is called, who may, and what becomes of a key."""

    action: str
    """The journal's name."""
    right: Right
    verb: str
    """For people, behind "to"."""
    stops: str = ""
    """What it may do to machines, for people; empty for what stops none."""
    change: Change
    detail: Mapping[str, str | int]
    """What it is done with, for the journal and the second person."""
    needs_two: Callable[[Sequence[KeyRow]], bool] = lambda rows: False
    """Whether an instance under dual control wants a second person for it."""


async def done(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    prefixes: Sequence[str],
    step: Step,
    *,
    confirmation: str | None,
    consent: Consent,
) -> Sequence[KeyRow]:
    """Decide and commit, anew where a client's change came first; answers the keys as they are then."""
    allowed(administration, step.right, instance.identifier, consent)
    if not 0 < len(prefixes) <= MOST_AT_ONCE:
        raise LimitReached(f"name between 1 and {MOST_AT_ONCE} keys at once")
    await catalog.catch_up()
    identifiers: Sequence[str] = prefixes
    for _ in range(ATTEMPTS):
        # What it is held to, two people among it, is decided on and committed as it is now.
        instance = await administration.instance(instance.identifier)
        rows = await found(administration, catalog, instance, identifiers)
        identifiers = [row.managed.unique_identifier for row in rows]
        try:
            await _attempt(administration, catalog, instance, rows, step, confirmation=confirmation, consent=consent)
            return await catalog.key_rows(instance.identifier, identifiers)
        except AlreadyThere:
            raise NameTaken(
                "another object has taken its Name since it was destroyed; give that one another Name first"
            ) from None
        except Conflict:
            if consent.approval is not None:
                raise
    raise ChangedMeanwhile("a key is being changed by many at once; try again")


async def _attempt(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    rows: Sequence[KeyRow],
    step: Step,
    *,
    confirmation: str | None,
    consent: Consent,
) -> None:
    now = administration.now
    before = [lifecycle.tick(row.managed, now) for row in rows]
    after = [_changed(managed, row, step, now) for managed, row in zip(before, rows, strict=True)]
    told = f"{step.verb} {_keys_told(rows, now)} of instance {instance.name!r}"
    if step.stops:
        impact = impact_of_rows(instance, rows, now)
        confirm(impact, f"about to {told}: {step.stops}", words_of(impact), confirmation)
    wish = Wish(
        act=step.action,
        instance=instance.identifier,
        target=before[0].unique_identifier if len(before) == 1 else "",
        arguments={**step.detail, "keys": " ".join(map(_seen, before))},
        told=told,
        why=str(step.detail.get("why", "")),
    )
    needed = instance.dual_control_at is not None and step.needs_two(rows)
    affairs = await agreed(administration, catalog, wish, needed=needed, consent=consent)
    entries = [
        administration.entry(
            step.action, instance.identifier, was.unique_identifier, _detail(step, was, is_, row, consent)
        )
        for was, is_, row in zip(before, after, rows, strict=True)
    ]
    await administration.commit_all(
        entries,
        seen_instances=(instance,),
        seen={row.managed.unique_identifier: row.managed.version for row in rows},
        updated=tuple(after),
        new_names=_names(before, after),
        leftovers=[each for was, is_ in zip(before, after, strict=True) for each in _left(instance, was, is_, now)],
        touched=administration.touched(instance.identifier),
        key_affairs=affairs,
    )


def _changed(managed: ManagedObject, row: KeyRow, step: Step, now: int) -> ManagedObject:
    try:
        return step.change(managed)
    except (WrongState, TooEarly) as error:
        raise type(error)(f"cannot {step.verb} {_keys_told([row], now)}: {_for_administrators(error)}") from None


def _for_administrators(error: Exception) -> str:
    """What a client is told of its object, as somebody reads it who has named a key."""
    told = str(error).replace("the object is ", "it is ", 1)
    told = told.replace("only an administrator of the server can restore it", "'keyrack key restore' takes that back")
    return re.sub(r"\w+ needs an object that is ", "it has to be ", told)


def _keys_told(rows: Sequence[KeyRow], now: int) -> str:
    if len(rows) != 1:
        return f"{len(rows)} keys"
    named = named_of(rows[0], now)
    return f"key {named.unique_identifier[:8]}" + (f" ({named.name})" if named.name else "")


def _seen(managed: ManagedObject) -> str:
    """A key as the decision has seen it."""
    return f"{managed.unique_identifier}:{managed.version}:{managed.state.name}"


def keys_of(arguments: Mapping[str, str | int]) -> Sequence[str]:
    """The Unique Identifiers in the arguments of a wish."""
    return [each.partition(":")[0] for each in str(arguments.get("keys", "")).split()]


def _detail(
    step: Step, was: ManagedObject, is_: ManagedObject, row: KeyRow, consent: Consent
) -> Mapping[str, str | int]:
    detail: dict[str, str | int] = {**step.detail, "state": was.state.title}
    if is_.state is not was.state:
        detail["becomes"] = is_.state.title
    if row.fetch is not None:
        detail["last_fetch"] = row.fetch.at // 1000
    if consent.approval is not None:
        detail |= {"approval": consent.approval.identifier, "asked_by": consent.approval.asked_by}
    return detail


def _names(before: Sequence[ManagedObject], after: Sequence[ManagedObject]) -> Sequence[str]:
    """Names that were given up by a destruction, and are borne again."""
    back = [
        is_
        for was, is_ in zip(before, after, strict=True)
        if was.state in DESTROYED_STATES and is_.state not in DESTROYED_STATES
    ]
    return attributes.name_values(
        ("Name", each.value) for managed in back for each in managed.attributes.get("Name", ())
    )


def _left(instance: Instance, was: ManagedObject, is_: ManagedObject, now: int) -> Sequence[Leftover]:
    return leftover_of(instance, was, now) if is_.standard_key is None else ()


def check_purgeable(managed: ManagedObject) -> None:
    """Raise ``WrongState`` unless it is destroyed and has material left."""
    if managed.state not in DESTROYED_STATES:
        raise WrongState(f"it is {state_title(managed) or 'not destroyed'}: destroy it first")
    if is_purged(managed) or managed.object_type == ObjectType.TEMPLATE:
        raise WrongState("it has no material any more, nothing is to be done")


def purged(managed: ManagedObject) -> ManagedObject:
    """The object without its material; to a client it is the destroyed object that it was."""
    return managed.changed(sealed=None, standard_key=None, withheld_at=None)


def leftover_of(instance: Instance, managed: ManagedObject, now: int) -> Sequence[Leftover]:
    """The standard key of a purged object, to be deleted in its key manager, if it has one."""
    if managed.standard_key is None:
        return ()
    return (
        Leftover(
            key_manager=key_manager_of(instance, managed),
            standard_key=managed.standard_key,
            instance=instance.identifier,
            unique_identifier=managed.unique_identifier,
            why="purged",
            at=now,
        ),
    )


def is_purged(managed: ManagedObject) -> bool:
    """Whether its material is gone for good; a template never had any."""
    return managed.sealed is None and managed.object_type != ObjectType.TEMPLATE
