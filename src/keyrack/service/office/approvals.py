"""Dual control: asking, agreeing, withdrawing. What two people must want is done in the unit of the second's agreement.

An act of any room takes part like this:

1. Its use case takes ``consent: Consent = ALONE``; its head is ``allowed(administration, right, instance, consent)`` in
   the place of ``administration.require``.
2. Once everything else is checked and confirmed it calls :func:`agreed` with a :class:`Wish`: the act's journal name
   and all that the decision stands on, versions too. That answers ``None`` where one person is enough, or raises
   ``SecondPersonNeeded`` with what was written down, or answers the changes for the field ``key_affairs`` of the very
   unit that does the act.
3. It has a row in ``service.office.acts.ACTS``, whose function calls the use case again with what was asked.

A wish that comes out otherwise when the second person agrees, because something was changed meanwhile, is refused.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from keyrack.domain.approvals import WINDOW, Approval, ApprovalState, Wisher
from keyrack.domain.people import Person
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.ports.admissions import Admissions
from keyrack.ports.catalog import Catalog, Conflict
from keyrack.ports.journal import JournalBook
from keyrack.ports.key_affairs import KeyAffairs, KeyBook
from keyrack.ports.people import PeopleBook
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import (
    ApprovalOver,
    ChangedMeanwhile,
    Forbidden,
    LimitReached,
    NotThere,
    Refused,
    SamePerson,
    SecondPersonNeeded,
)
from keyrack.service.office.second_person import refuse_one_hand

LONGEST_WHY: Final = 200
MOST_WISHES: Final = 100
"""Of one person, over one instance, that wait at one time."""
_OVER: Final[Mapping[ApprovalState, str]] = {
    ApprovalState.DONE: "has been agreed to and done",
    ApprovalState.WITHDRAWN: "was withdrawn",
    ApprovalState.EXPIRED: "has expired: a second person has seven days",
}


class KeyCatalog(Catalog, KeyBook, PeopleBook, Admissions, JournalBook, Protocol):
    """What acts on keys and agreements need of the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An act that may need two people, word for word."""

    act: str
    """The journal's name of it."""
    instance: str = EVERYWHERE
    """Identifier of the instance."""
    target: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    """Everything that it is done with, and everything that the decision stands on."""
    told: str
    """For people: goes on behind "to", as ``"purge key 1a2b3c4d (db01)"``."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a second person has agreed to; made by :func:`agree` alone."""

    approval: Approval | None = None


ALONE: Final = Consent()
"""Nobody else has agreed to anything."""

Do = Callable[[Administration, KeyCatalog, Approval, Consent, str | None], Awaitable[Any]]
"""Does an act again, as it was asked: calls its use case with the consent, and the confirmation of who agrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An act that can wait for a second person."""

    right: Right
    """What whoever asks needs; whoever agrees needs it too, or ``Right.APPROVAL_AGREE``."""
    do: Do
    needs_key_managers: bool = False
    """Whether it asks a key manager, so that only a process that has them can do it."""


def wisher_of(administration: Administration) -> Wisher:
    """Who acts, for comparing."""
    who = administration.administrator
    return Wisher(who.initiator, who.actor.person if who.actor is not None else "")


def allowed(administration: Administration, right: Right, instance: str, consent: Consent) -> None:
    """Raise ``Forbidden`` where whoever acts may not; the rights of who agrees were asked by :func:`agree`."""
    if consent.approval is None:
        administration.require(right, instance)


async def agreed(
    administration: Administration, book: KeyBook, wish: Wish, *, needed: bool, consent: Consent
) -> KeyAffairs | None:
    """Whether the act can be done now: ``None`` by one person, else what its unit has to write of the agreement.

    With ``needed`` and nobody's consent, the wish is written down and ``SecondPersonNeeded`` raised. Raises
    ``ChangedMeanwhile`` where what was agreed to is not what would be done.
    """
    approval = consent.approval
    if approval is None:
        if needed:
            await _ask(administration, book, wish)
        return None
    asked = (approval.act, approval.instance, approval.target, dict(approval.arguments))
    if asked != (wish.act, wish.instance, wish.target, dict(wish.arguments)):
        raise ChangedMeanwhile(
            f"what {approval.asked_by} has asked for was changed meanwhile; nothing was done",
            hint=f"look at it, withdraw approval {approval.identifier[:8]}, and have it asked for anew",
        )
    by, now = administration.administrator.initiator, administration.now
    return KeyAffairs(approvals=(replace(approval, agreed_by=by, agreed_at=now),))


async def _ask(administration: Administration, book: KeyBook, wish: Wish) -> None:
    now, who = administration.now, wisher_of(administration)
    held = [each for each in await book.approvals(wish.instance) if each.state(now) is ApprovalState.WAITING]
    waiting = [
        each
        for each in held
        if (each.act, each.target, dict(each.arguments)) == (wish.act, wish.target, dict(wish.arguments))
    ]
    if waiting:
        raise SecondPersonNeeded(_told(wish, waiting[0], f"{waiting[0].asked_by} has asked for it already"), waiting[0])
    if sum(each.wisher.is_same_as(who) for each in held) >= MOST_WISHES:
        raise LimitReached(f"{MOST_WISHES} of your wishes wait for a second person already", hint="withdraw some first")
    approval = Approval(
        identifier=administration.randomness.identifier(),
        act=wish.act,
        instance=wish.instance,
        target=wish.target,
        arguments=dict(wish.arguments),
        why=wish.why,
        asked_by=who.initiator,
        asked_person=who.person,
        asked_at=now,
        expires_at=now + WINDOW,
    )
    detail: dict[str, str | int] = {"act": wish.act, "of": wish.target, "expires_at": approval.expires_at}
    await administration.commit(
        "approval.ask",
        wish.instance,
        approval.identifier,
        detail | ({"why": wish.why} if wish.why else {}),
        key_affairs=KeyAffairs(approvals=(approval,)),
    )
    raise SecondPersonNeeded(_told(wish, approval, "it was asked for"), approval)


def _told(wish: Wish, approval: Approval, begun: str) -> str:
    return (
        f"to {wish.told} needs a second person; {begun}, nothing was done yet; within seven days another person"
        f" agrees with 'keyrack approval agree {approval.identifier[:8]}'"
    )


async def approvals(administration: Administration, book: KeyBook, instance: str | None = None) -> Sequence[Approval]:
    """What was asked for, the newest first: of one instance, or of all of which whoever acts may see it."""
    if instance is not None:
        administration.require(Right.APPROVAL_READ, instance)
    grants = administration.administrator.grants
    return [each for each in await book.approvals(instance) if grants.allow(Right.APPROVAL_READ, each.instance)]


async def approval(administration: Administration, book: KeyBook, prefix: str) -> Approval:
    """The one whose identifier is, or begins with, ``prefix``; raises ``NotThere``."""
    known = await approvals(administration, book)
    found = [each for each in known if len(prefix) >= 4 and each.identifier.startswith(prefix.lower())]
    if len(found) > 1:
        raise Refused(f"{len(found)} approvals begin with {prefix!r}; give more of it")
    if not found:
        raise NotThere(f"there is no approval {prefix!r}; 'keyrack approval list' shows what waits")
    return found[0]


async def agree(
    administration: Administration,
    catalog: KeyCatalog,
    prefix: str,
    acts: Mapping[str, Act],
    *,
    confirmation: str | None = None,
) -> Approval:
    """Agree as the second person, and do what was asked for; answers what was agreed to.

    Raises ``SamePerson``, ``ApprovalOver``, ``Forbidden``, ``ChangedMeanwhile``, and what the act itself raises.
    """
    found = await approval(administration, catalog, prefix)
    act = acts.get(found.act)
    if act is None:
        raise Refused(f"nothing here can do {found.act!r}; a newer Keyrack has asked for it")
    _check_waits(found, administration.now)
    await _check_people(administration, catalog, found, act)
    try:
        await act.do(administration, catalog, found, Consent(found), confirmation)
    except Conflict:
        raise ChangedMeanwhile(
            "something of it was changed just now; nothing was done", hint="look at it, and agree again"
        ) from None
    return await _as_it_is(catalog, found)


async def withdraw(administration: Administration, catalog: KeyCatalog, prefix: str) -> Approval:
    """Take a wish back, as who has asked for it, or turn it down, as who could agree to it; nothing is done."""
    found = await approval(administration, catalog, prefix)
    _check_waits(found, administration.now)
    if not wisher_of(administration).is_same_as(found.wisher):
        administration.require(Right.APPROVAL_AGREE, found.instance)
    by = administration.administrator.initiator
    taken = replace(found, withdrawn_by=by, withdrawn_at=administration.now)
    try:
        await administration.commit(
            "approval.withdraw",
            found.instance,
            found.identifier,
            {"act": found.act, "of": found.target, "asked_by": found.asked_by},
            key_affairs=KeyAffairs(approvals=(taken,)),
        )
    except Conflict:
        raise ApprovalOver(f"approval {found.identifier[:8]} was settled by someone else just now") from None
    return taken


def eligible(people: Sequence[Person], instance: str, right: Right = Right.KEY_DESTROY) -> Sequence[Person]:
    """Who could be one of two people for an act of this right: of fewer than two, dual control would be a lock-out."""
    return [
        each
        for each in people
        if each.disabled_at is None
        and (each.rights.allow(right, instance) or each.rights.allow(Right.APPROVAL_AGREE, instance))
    ]


def _check_waits(found: Approval, now: int) -> None:
    state = found.state(now)
    if state is not ApprovalState.WAITING:
        raise ApprovalOver(f"approval {found.identifier[:8]} {_OVER[state]}; nothing was done", hint="ask anew")


async def _check_people(administration: Administration, catalog: KeyCatalog, found: Approval, act: Act) -> None:
    """That two different people want it, and that both may."""
    if wisher_of(administration).is_same_as(found.wisher):
        raise SamePerson(
            f"{found.asked_by} has asked for it, and a second person has to agree",
            hint="another log-in, an API key or the account of the same name is the same person",
        )
    grants = administration.administrator.grants
    if not grants.allow(act.right, found.instance):
        administration.require(Right.APPROVAL_AGREE, found.instance)
    administration.require_proof(Right.APPROVAL_AGREE.meaning)
    await _refuse_one_hand(administration, catalog, found)
    if found.asked_person:
        asker = await catalog.person(found.asked_person)
        if asker is None or asker.disabled_at is not None or not asker.rights.allow(act.right, found.instance):
            raise Forbidden(
                f"{found.asked_by}, who has asked for it, may not do it any more; nothing was done",
                hint="withdraw it; who may do it can ask anew",
            )


async def _refuse_one_hand(administration: Administration, catalog: KeyCatalog, found: Approval) -> None:
    if found.instance != EVERYWHERE:
        instance = await administration.instance(found.instance)
        await refuse_one_hand(catalog, catalog, instance, found, wisher_of(administration))


async def _as_it_is(catalog: KeyCatalog, found: Approval) -> Approval:
    return await catalog.approval(found.identifier) or found
