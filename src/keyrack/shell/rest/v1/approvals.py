"""``/approvals``: what waits for a second person, and the second person's yes or no."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Path, Query, Response
from pydantic import Field

from keyrack.domain.approvals import Approval, ApprovalState
from keyrack.service.office import approvals
from keyrack.service.office.acts import acts
from keyrack.service.office.key_steps import keys_of
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.etags import etag_of
from keyrack.shell.rest.v1.keys import ConfiguredWindows
from keyrack.shell.rest.v1.models import Body, Instant, Resource, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.routing import noun

router = noun("approvals")

ApprovalName = Annotated[
    str,
    Path(alias="approval", min_length=4, max_length=64, description="Identifier of the approval, or its beginning."),
]
StateName = Literal["waiting", "done", "withdrawn", "expired"]


class ApprovalShown(Resource):
    """An act that one person has asked for, word for word."""

    identifier: str
    state: StateName
    act: Annotated[str, Field(description="The journal's name of it.")]
    instance: Annotated[str | None, Field(description="Identifier of the instance; null for none.")]
    target: str | None
    keys: Annotated[Sequence[str], Field(description="Unique Identifiers of the keys that it ends.")]
    arguments: Mapping[str, str | int]
    why: str | None
    asked_by: str
    asked_at: Instant
    expires_at: Instant
    agreed_by: str | None
    agreed_at: Instant | None
    withdrawn_by: str | None
    withdrawn_at: Instant | None


class Agreement(Body):
    """The second person's yes."""

    confirmation: Annotated[
        str | None, Field(max_length=200, description="The words that `confirmation-needed` has asked for.")
    ] = None


@router.get("/approvals")
async def list_approvals(
    caller: Caller, page: Paging, state: Annotated[StateName | None, Query(description="Only those.")] = None
) -> Listing[ApprovalShown]:
    """List what was asked for, the oldest first; what waits and what is over."""
    found = await approvals.approvals(caller.administration, caller.catalog)
    wanted = [each for each in found if state is None or each.state(caller.now) == ApprovalState(state)]
    return page.of(wanted, lambda each: (each.asked_at, each.identifier), lambda each: _shown(each, caller.now))


@router.get("/approvals/{approval}")
async def show_approval(caller: Caller, approval: ApprovalName, response: Response) -> ApprovalShown:
    """Show one: what was asked for, by whom, and until when it waits."""
    found = await approvals.approval(caller.administration, caller.catalog, approval)
    response.headers["etag"] = etag_of(found)
    return _shown(found, caller.now)


@router.post("/approvals/{approval}/agree")
async def agree_to_approval(
    caller: Caller, approval: ApprovalName, windows: ConfiguredWindows, body: Agreement | None = None
) -> ApprovalShown:
    """Agree, as another person than who has asked: it is done at once; keys that are left to move then follow."""
    confirmation = body.confirmation if body is not None else None
    table = acts(windows)
    found = await approvals.approval(caller.administration, caller.catalog, approval)
    if found.act in table and table[found.act].needs_key_managers:
        arguments = {"approval": found.identifier, "confirmation": confirmation}
        await caller.back_office.act(caller.on_behalf, "approval.agree", arguments)
        done = await approvals.approval(caller.administration, caller.catalog, found.identifier)
    else:
        done = await approvals.agree(
            caller.administration, caller.catalog, found.identifier, table, confirmation=confirmation
        )
    return _shown(done, caller.now)


@router.post("/approvals/{approval}/withdraw")
async def withdraw_approval(caller: Caller, approval: ApprovalName) -> ApprovalShown:
    """Take back what you have asked for, or turn down what another has; nothing is done."""
    return _shown(await approvals.withdraw(caller.administration, caller.catalog, approval), caller.now)


def _shown(approval: Approval, now: int) -> ApprovalShown:
    return ApprovalShown(
        identifier=approval.identifier,
        state=approval.state(now).value,
        act=approval.act,
        instance=approval.instance or None,
        target=approval.target or None,
        keys=keys_of(approval.arguments),
        arguments={name: value for name, value in approval.arguments.items() if name != "keys"},
        why=approval.why or None,
        asked_by=approval.asked_by,
        asked_at=since(approval.asked_at),
        expires_at=since(approval.expires_at),
        agreed_by=approval.agreed_by or None,
        agreed_at=instant(approval.agreed_at),
        withdrawn_by=approval.withdrawn_by or None,
        withdrawn_at=instant(approval.withdrawn_at),
    )
