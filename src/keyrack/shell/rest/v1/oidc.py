"""``/oidc``: log-in at a provider, from the browser's first step to its last."""

import base64
import binascii
from typing import Annotated, Final

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from keyrack.domain.rights import EVERYWHERE, Grant, Role
from keyrack.service.office.refusals import Refused
from keyrack.service.people.foreign_logins import Policy, log_in_by_claims
from keyrack.shell.config.oidc import Oidc
from keyrack.shell.console.between import show_onward, show_refusal
from keyrack.shell.console.places import local
from keyrack.shell.oidc import LASTS, Provider
from keyrack.shell.oidc_opening import open_provider
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.v1.callers import address_of, too_many
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.problems import Problem
from keyrack.shell.rest.v1.routing import open_noun
from keyrack.shell.rest.v1.sessions import cookie_of, visitor_of

opened = open_noun("oidc")

FLOW: Final = "__Host-keyrack-oidc"
"""The cookie between the two halves. Lax, not Strict: the provider's page sends the browser back."""
_LONGEST: Final = 3000
"""Characters of that cookie: the flow's, and the page to go on to."""
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
    url, cookie = await begin_at_provider(request, keeper, again=again, back="/")
    return RedirectResponse(url, 303, headers={"set-cookie": cookie})


async def begin_at_provider(request: Request, keeper: Premises, *, again: bool, back: str) -> tuple[str, str]:
    """Where the browser goes, and the header that has it keep the flow's secret and the page to go on to.

    Nobody but this server sets or reads a cookie of such a name; it is looked at again when it comes back.
    """
    provider, _ = _provider(keeper)
    _hold_back(request, keeper)
    begun = await provider.begin(again=again, max_age=keeper.ends.longest)
    packed = base64.urlsafe_b64encode(local(back).encode()).rstrip(b"=").decode()
    kept = f"{begun.cookie}.{packed}" if len(begun.cookie) + len(packed) < _LONGEST else begun.cookie
    return begun.url, f"{FLOW}={kept}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LASTS}"


def _unpacked(cookie: str) -> tuple[str, str]:
    """The flow's own part of its cookie, and the page to go on to."""
    parts = cookie[:_LONGEST].split(".")
    try:
        back = base64.urlsafe_b64decode(parts[3] + "==").decode() if len(parts) > 3 else "/"
    except (binascii.Error, ValueError):
        back = "/"
    return ".".join(parts[:3]), local(back)


@opened.get("/oidc/callback", response_class=HTMLResponse, responses={200: {"content": {"text/html": {}}}})
async def finish_oidc_log_in(request: Request, keeper: Keeper, answered: Annotated[Answered, Query()]) -> Response:
    """Come back from the provider: a log-in begins, with its cookie, and the browser goes on."""
    provider, table = _provider(keeper)
    _hold_back(request, keeper)
    flow, back = _unpacked(request.cookies.get(FLOW, ""))
    try:
        finished = await provider.finish(answered.model_dump(exclude_none=True), flow)
        begun = await log_in_by_claims(
            keeper.catalog,
            finished.claims,
            await _policy(table, keeper),
            visitor=visitor_of(request),
            proved_at=finished.proved_at,
            ends=keeper.ends,
        )
    except Refused as refused:
        answer = show_refusal(request, refused, back)
    else:
        # No redirect: it were one of another site's still, to which the browser brings no cookie of a log-in.
        answer = show_onward(request, back, begun.person.name)
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
