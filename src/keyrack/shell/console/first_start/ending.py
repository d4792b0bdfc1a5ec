"""The end of the wizard: all of it at one look, the making, and the way over to the server."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from keyrack.embedded.errors import KeystoreError
from keyrack.service.office.refusals import Unusable
from keyrack.shell import planning
from keyrack.shell.config.whole import load
from keyrack.shell.console.first_start.desk import EVERYWHERE, LOOPBACK
from keyrack.shell.console.first_start.draft import Step
from keyrack.shell.console.first_start.frame import SetupCall
from keyrack.shell.console.first_start.making import STAGES, Making, begin
from keyrack.shell.console.first_start.pages import PROGRESS, SUMMARY, frame_of, here, is_making, pages, remarks
from keyrack.shell.console.first_start.plans import plan_of_name
from keyrack.shell.console.first_start.tried import trouble_in
from keyrack.shell.console.first_start.trying_name import try_name
from keyrack.shell.console.showing import POLICY
from keyrack.shell.links import api_name
from keyrack.shell.planning import searched

__all__ = ["pages"]

MADE: Final = "/setup/made"
UNSEEN: Final = 4.0
"""Seconds that a browser without JavaScript has to fetch what belongs to the last page."""


@pages.shows(SUMMARY)
async def show_summary(call: SetupCall) -> Response:
    """All that was typed, but for secrets, before anything is made of it."""
    desk = call.desk
    if is_making(desk) or desk.draft.next is not None:
        return call.go(here(desk))
    found = remarks(desk.draft, *Step)
    failed = desk.making.trouble if desk.making else None
    plan = plan_of_name(desk)
    return call.show("summary.html", **frame_of(call, None), plan=plan, remarks=found, failed=failed)


@pages.does(SUMMARY, again=show_summary)
async def create(call: SetupCall) -> Response:
    """Begin to make it, once more after what may have changed meanwhile was looked at."""
    desk = call.desk
    async with desk.turn:
        if is_making(desk) or desk.draft.next is not None:
            return call.go(here(desk))
        planning.check(plan_of_name(desk))
        if trouble := trouble_in(tried := await try_name(desk), call.words):
            desk.draft.tried[Step.NAME] = tried
            return await show_summary(replace(call, trouble=replace(trouble, told=next(iter(trouble.fields.values())))))
        try:
            desk.making = begin(desk)
        except (KeystoreError, OSError) as error:
            raise Unusable(str(error)) from None
    return call.go(PROGRESS)


@pages.shows(PROGRESS)
async def show_progress(call: SetupCall) -> Response:
    """How far it is."""
    making = call.desk.making
    if making is None or making.trouble:
        return call.go(here(call.desk))
    return call.go(MADE) if making.made else call.show("progress.html", **_progress(call, making))


@pages.shows("/live/setup")
async def refresh_progress(call: SetupCall) -> Response:
    """The same, asked for again and again; at the end the page goes on."""
    making = call.desk.making
    if making is None or making.made or making.trouble:
        return Response(headers={"hx-redirect": MADE if making and making.made else here(call.desk)})
    return call.show("stages.html", **_progress(call, making))


def _progress(call: SetupCall, making: Making) -> Mapping[str, Any]:
    finished = making.begun[:-1]
    return {
        **frame_of(call, None),
        "titles": STAGES,
        "making": making,
        "finished": finished,
        "now_at": making.begun[-1:],
    }


@pages.shows(MADE)
async def show_made(call: SetupCall) -> Response:
    """It is made; the page waits for the server, and goes over to its log-in."""
    desk, making = call.desk, call.desk.making
    if making is None or making.made is None:
        return call.go(here(desk))
    origin = _origin(call, making)
    answer = call.show(
        "made.html",
        **frame_of(call, None),
        making=making,
        fingerprint=making.made.server.fingerprint,
        origin=origin,
        option="" if making.config in searched() else f" --config {making.config}",
        sealed=desk.draft["key_manager"] == "embedded" and desk.draft["protect"] == "unseal",
    )
    # The page asks the server from here whether it lives; that may be another origin.
    answer.headers["content-security-policy"] = POLICY.replace("connect-src 'self'", f"connect-src 'self' {origin}")
    loop = asyncio.get_running_loop()

    async def leave_time() -> None:
        loop.call_later(UNSEEN, desk.handover.set)

    answer.background = BackgroundTask(leave_time)
    return answer


@pages.shows("/live/setup/go")
async def go_over(call: SetupCall) -> Response:
    """The last page has all that it needs: the server may take the wizard's place."""
    if call.desk.making is None or call.desk.making.made is None:
        return JSONResponse({"status": "setup"}, 409)

    async def leave() -> None:
        call.desk.handover.set()

    return JSONResponse({"status": "made"}, background=BackgroundTask(leave))


@pages.shows("/health/live", opened=True)
async def tell_alive(call: SetupCall) -> Response:
    """What waits for a server is not to take the wizard for one."""
    return JSONResponse({"status": "setup"}, 503)


def _origin(call: SetupCall, making: Making) -> str:
    """Where the console will be, as this browser calls this machine if it can."""
    plan = making.plan
    name = call.request.url.hostname or ""
    reached = plan.api_host in EVERYWHERE or plan.api_host == name or {plan.api_host, name} <= set(LOOPBACK)
    if not reached or name not in {*plan.certified, *LOOPBACK}:
        return f"https://{api_name(load(making.config))}"
    shown = f"[{name}]" if ":" in name else name
    return f"https://{shown}" if plan.api_port == 443 else f"https://{shown}:{plan.api_port}"
