"""``/approvals``: what two people must want, what waits for the second one, and that one's yes or no."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from keyrack.domain.approvals import Approval, ApprovalState
from keyrack.domain.instances import Instance
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.service.office import approvals, keys
from keyrack.service.office.acts import acts
from keyrack.service.office.approvals import wisher_of
from keyrack.service.office.impact import Impact, impact_of, words_of
from keyrack.service.office.key_steps import keys_of
from keyrack.service.office.refusals import Refused
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.office import windows_of
from keyrack.shell.rest.v1.approvals import Agreement, agree_to_approval, withdraw_approval

room = Room()
ON_A_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Words:
    """An act that two people must want, as people read it."""

    title: str
    happens: str


ACTS: Final[Mapping[str, Words]] = {
    "key.destroy": Words(
        mark("Destroy keys"),
        mark("No client is given them any more from that moment on. Until they are purged it can be undone."),
    ),
    "key.purge": Words(
        mark("Purge keys"), mark("Whatever they have encrypted is lost for ever. Nothing brings them back.")
    ),
    "instance.remove": Words(mark("Remove an instance"), mark("It is taken away, with everything that is left of it.")),
    "instance.quotas": Words(
        mark("Set the quotas of an instance"), mark("What is over a quota is refused from that moment on.")
    ),
    "instance.dual-control": Words(
        mark("Let one person decide alone"),
        mark("From that moment on one person can destroy and purge keys of this instance, without a second one."),
    ),
    "certificate.remove": Words(
        mark("Remove the last client certificate"), mark("Nobody reaches the keys of the instance any more.")
    ),
    "authority.remove": Words(
        mark("End the trust in the last certificate authority"),
        mark("Nobody reaches the keys of the instance any more."),
    ),
    "instance.root-key": Words(
        mark("Change the root key of an instance"), mark("All its keys are wrapped with another root key.")
    ),
}
STATES: Final[Mapping[ApprovalState, tuple[str, str]]] = {
    ApprovalState.WAITING: (mark("Waits"), "warn"),
    ApprovalState.DONE: (mark("Agreed and done"), "good"),
    ApprovalState.WITHDRAWN: (mark("Withdrawn"), ""),
    ApprovalState.EXPIRED: (mark("Expired"), ""),
}
ARGUMENTS: Final[Mapping[str, str]] = {
    "why": mark("Why"),
    "reason": mark("Revocation reason"),
    "keys": mark("Most keys"),
    "certificates": mark("Most client certificates"),
    "requests": mark("Requests a second"),
    "former_keys": mark("Most keys until now"),
    "former_certificates": mark("Most client certificates until now"),
    "former_requests": mark("Requests a second until now"),
    "key_manager": mark("Key manager"),
    "root_key": mark("Root key"),
}
ENDS_KEYS: Final = ("key.destroy", "key.purge")
ENDS_CLIENTS: Final = ("certificate.remove", "authority.remove")
NOTHING_TYPED: Final = " "
"""Where no words were typed: the second person repeats them whatever the use case would take."""
tells(
    {
        "agreed": mark("You have agreed, and it is done."),
        "withdrawn": mark("It was withdrawn; nothing was done."),
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish as a list shows it."""

    approval: Approval
    state: ApprovalState
    instance: str
    """Its name; empty where it is gone, or where the wish is of none."""
    mine: bool
    """Whether whoever looks has asked for it."""
    keys: Sequence[str]

    @property
    def words(self) -> Words:
        """What it is called."""
        return ACTS.get(self.approval.act, Words(self.approval.act, ""))


@room.shows("/approvals")
async def show_approvals(call: Call) -> Response:
    """What waits, what is nearest to its end first; and what is over."""
    found = await approvals.approvals(call.administration, call.catalog)
    names = {each.identifier: each.name for each in await call.administration.instances()}
    asked = [_asked(call, each, names) for each in found]
    waiting = sorted(
        (each for each in asked if each.state is ApprovalState.WAITING), key=lambda each: each.approval.expires_at
    )
    over = [each for each in asked if each.state is not ApprovalState.WAITING]
    begins = int(said) if (said := call.typed.get("from")).isdecimal() and len(said) < 9 else 0
    return call.show(
        "approvals/approvals.html",
        waiting=waiting,
        over=over[begins : begins + ON_A_PAGE],
        begins=begins,
        following=begins + ON_A_PAGE if len(over) > begins + ON_A_PAGE else None,
        on_a_page=ON_A_PAGE,
        states=STATES,
    )


@room.refreshes("/live/approvals/waiting")
async def refresh_waiting(call: Call) -> Response:
    """How many wait for somebody else than who asked: a number beside the menu."""
    found = await approvals.approvals(call.administration, call.catalog)
    me = wisher_of(call.administration)
    waiting = [each for each in found if each.state(call.now) is ApprovalState.WAITING]
    return call.show("approvals/waiting.html", number=sum(not each.wisher.is_same_as(me) for each in waiting))


@room.shows("/approvals/{approval}")
async def show_approval(call: Call) -> Response:
    """One, word for word, with what may stop; and the forms to agree, to turn it down, or to take it back."""
    found = await approvals.approval(call.administration, call.catalog, call.path["approval"])
    instance = await _instance(call, found)
    impact = await _impact(call, found, instance)
    names = {instance.identifier: instance.name} if instance else {}
    asked = _asked(call, found, names)
    return call.show(
        "approvals/approval.html",
        asked=asked,
        instance=instance,
        impact=impact.as_json() if impact else None,
        words_to_type=_words(found, instance, impact),
        arguments=[(ARGUMENTS.get(name, name), value) for name, value in _said(found)],
        states=STATES,
        may_agree=_may_agree(call, found),
        may_withdraw=asked.mine or call.may(Right.APPROVAL_AGREE, found.instance),
    )


@room.does("/approvals/{approval}/agree", again=show_approval)
async def agree(call: Call) -> Response:
    """Agree, as another person than who has asked; it is done at once."""
    found = await approvals.approval(call.administration, call.catalog, call.path["approval"])
    typed = Agreement(confirmation=call.typed.get("confirmation") or NOTHING_TYPED)
    await agree_to_approval(call.known, found.identifier, windows_of(call.config), typed)
    return call.go(f"/approvals/{found.identifier}", done="agreed")


@room.does("/approvals/{approval}/withdraw", again=show_approval)
async def withdraw(call: Call) -> Response:
    """Take it back, or turn it down; nothing is done."""
    found = await approvals.approval(call.administration, call.catalog, call.path["approval"])
    await withdraw_approval(call.known, found.identifier)
    return call.go(f"/approvals/{found.identifier}", done="withdrawn")


def _asked(call: Call, approval: Approval, names: Mapping[str, str]) -> Asked:
    return Asked(
        approval=approval,
        state=approval.state(call.now),
        instance=names.get(approval.instance, ""),
        mine=wisher_of(call.administration).is_same_as(approval.wisher),
        keys=keys_of(approval.arguments) if approval.act in ENDS_KEYS else (),
    )


def _said(approval: Approval) -> Sequence[tuple[str, str | int]]:
    ends = approval.act in ENDS_KEYS
    return [(name, value) for name, value in approval.arguments.items() if not (ends and name == "keys")]


async def _instance(call: Call, approval: Approval) -> Instance | None:
    if approval.instance == EVERYWHERE:
        return None
    seen = await call.administration.instances()
    return next((each for each in seen if each.identifier == approval.instance), None)


async def _impact(call: Call, approval: Approval, instance: Instance | None) -> Impact | None:
    """What may stop, while it can still be prevented."""
    if instance is None or approval.state(call.now) is not ApprovalState.WAITING:
        return None
    if not call.may(Right.KEY_READ, instance.identifier):
        return None
    if approval.act in ENDS_CLIENTS:
        return await impact_of(call.catalog, instance, call.now)
    if approval.act not in ENDS_KEYS:
        return None
    try:
        meant = keys_of(approval.arguments)
        return (await keys.at_stake(call.administration, call.catalog, instance, meant))[1]
    except Refused:
        return None  # One of them is gone: agreeing tells what was changed meanwhile.


def _words(approval: Approval, instance: Instance | None, impact: Impact | None) -> str:
    """What is to be typed; empty where nothing stops by it."""
    if approval.act in ENDS_KEYS and impact is not None:
        return words_of(impact)
    return instance.name if approval.act in ENDS_CLIENTS and instance is not None else ""


def _may_agree(call: Call, approval: Approval) -> bool:
    """Whether to offer it; the use case asks again, and whether it is another hand."""
    act = acts(windows_of(call.config)).get(approval.act)
    return act is not None and (
        call.may(act.right, approval.instance) or call.may(Right.APPROVAL_AGREE, approval.instance)
    )
