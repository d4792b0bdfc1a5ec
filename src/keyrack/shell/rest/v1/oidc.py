"""``/oidc``: log-in at a provider, from the browser's first step to its last."""

from typing import Annotated, Final

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from keyrack.domain.rights import EVERYWHERE, Grant, Role
from keyrack.service.office.refusals import Refused
from keyrack.service.people.foreign_logins import Policy, log_in_by_claims
from keyrack.shell.config.oidc import Oidc
from keyrack.shell.oidc import LASTS, Provider
from keyrack.shell.oidc_opening import open_provider
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.v1.callers import address_of, too_many
from keyrack.shell.rest.v1.pages_of_log_in import telling
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.problems import KINDS, UNKNOWN, Problem
from keyrack.shell.rest.v1.routing import open_noun
from keyrack.shell.rest.v1.sessions import cookie_of, visitor_of

opened = open_noun("oidc")

FLOW: Final = "__Host-keyrack-oidc"
"""The cookie between the two halves. Lax, not Strict: the provider's page sends the browser back."""
_OVER: Final = f"{FLOW}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


class Answered(BaseModel):
    """What the provider sends the browser back with. What it adds beside that is nobody's concern."""

    state: str = Field(default="", max_length=200)
    code: str | None = Field(default=None, max_length=4096)
    error: str | None = Field(default=None, max_length=200)
    iss: str | None = Field(default=None, max_length=500)


@opened.get("/oidc/login", status_code=303, response_class=RedirectResponse)
async def begin_oidc_log_in(
    request: Request,
    keeper: Keeper,
    again: Annotated[bool, Query(description="Whether the provider shall ask for a proof in any case.")] = False,
) -> Response:
    """Go to the provider to log in; the browser comes back to the callback."""
    provider, _ = _provider(keeper)
    _hold_back(request, keeper)
    begun = await provider.begin(again=again, max_age=keeper.ends.longest)
    headers = {"set-cookie": f"{FLOW}={begun.cookie}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LASTS}"}
    return RedirectResponse(begun.url, 303, headers=headers)


@opened.get("/oidc/callback", response_class=HTMLResponse, responses={200: {"content": {"text/html": {}}}})
async def finish_oidc_log_in(request: Request, keeper: Keeper, answered: Annotated[Answered, Query()]) -> HTMLResponse:
    """Come back from the provider: a log-in begins, with its cookie."""
    provider, table = _provider(keeper)
    _hold_back(request, keeper)
    try:
        finished = await provider.finish(answered.model_dump(exclude_none=True), request.cookies.get(FLOW, "")[:200])
        begun = await log_in_by_claims(
            keeper.catalog,
            finished.claims,
            await _policy(table, keeper),
            visitor=visitor_of(request),
            proved_at=finished.proved_at,
            ends=keeper.ends,
        )
    except Refused as refused:
        answer = telling("You are not logged in", f"{refused}.", status=KINDS.get(refused.code, UNKNOWN).status)
    else:
        answer = telling("You are logged in", f"Here you are {begun.person.name}. This page can be closed.")
        answer.headers.append("set-cookie", cookie_of(begun))
    answer.headers.append("set-cookie", _OVER)
    return answer


def _provider(keeper: Premises) -> tuple[Provider, Oidc]:
    table = keeper.config.api.oidc if keeper.config is not None else None
    if table is None or keeper.config is None:
        raise Problem("not-found", "no provider is configured")
    if keeper.provider is None:
        keeper.provider = open_provider(keeper.config, table)
    return keeper.provider, table


def _hold_back(request: Request, keeper: Premises) -> None:
    """Each of these calls makes others, to the provider: not as many as anybody likes."""
    if wait := keeper.strangers.take(home(address_of(request).rpartition(":")[0])):
        raise too_many(wait)


async def _policy(table: Oidc, keeper: Premises) -> Policy:
    """What the provider's word counts for. Grants over instances that are not there give nothing."""
    named = {each.name: each.identifier for each in await keeper.catalog.instances()}
    grants: dict[str, list[Grant]] = {}
    for each in table.grants:
        over = EVERYWHERE if each.instance is None else named.get(each.instance)
        if over is not None:
            grants.setdefault(each.value, []).append(Grant(Role(each.role), over))
    return Policy(
        auto_create=table.auto_create, name_claim=table.name_claim, roles_claim=table.roles_claim, grants=grants
    )
