"""The pages of the wizard until everything is known: a link lets one browser in, and four steps are each tried out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from keyrack.adapters.key_managers.ibm.settings import KEY_PROTECT, REGIONS
from keyrack.ports.key_manager import Verdict
from keyrack.service.people.passwords import LONGEST, SHORTEST
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.draft import Draft, Step
from keyrack.shell.console.first_start.frame import ENTER, Handler, Pages, SetupCall, show_trouble
from keyrack.shell.console.first_start.guard import COOKIE
from keyrack.shell.console.first_start.tried import Tried, trouble_in
from keyrack.shell.console.first_start.trying_administrator import try_administrator
from keyrack.shell.console.first_start.trying_database import try_database
from keyrack.shell.console.first_start.trying_key_manager import ACTIVE, try_key_manager
from keyrack.shell.console.first_start.trying_name import try_name
from keyrack.shell.console.typed import Typed, preferred
from keyrack.shell.console.words import Words, mark
from keyrack.shell.protections import LEAST_PASSPHRASE
from keyrack.shell.rest.v1.callers import address_of

pages = Pages()
SUMMARY: Final = "/setup/summary"
PROGRESS: Final = "/setup/progress"
NEW_ROOT_KEY: Final = mark("a new one, which Keyrack makes there")
TRIALS: Final[Mapping[Step, Callable[[Desk], Awaitable[Sequence[Tried]]]]] = {
    Step.NAME: try_name,
    Step.DATABASE: try_database,
    Step.KEY_MANAGER: try_key_manager,
    Step.ADMINISTRATOR: try_administrator,
}


@pages.shows("/", opened=True)
async def show_beginning(call: SetupCall) -> Response:
    """There is one place to begin."""
    return call.go(ENTER)


@pages.shows(ENTER, opened=True)
async def show_enter(call: SetupCall) -> Response:
    """What asks for the link, or the page that the browser has come to."""
    return call.go(here(call.desk)) if call.cookie else call.show("enter.html")


@pages.does(ENTER, again=show_enter, opened=True)
async def enter(call: SetupCall) -> Response:
    """Let the first browser in that has the link."""
    if call.cookie:
        return call.go(here(call.desk))
    # A whole link may be pasted too.
    token = call.typed.get("token").rpartition("#")[2]
    cookie = call.desk.guard.let_in(token, address_of(call.request).rpartition(":")[0])
    answer = call.go(here(call.desk))
    answer.set_cookie(COOKIE, cookie, path="/", secure=True, httponly=True, samesite="strict")
    return answer


@pages.does("/preferences", again=show_trouble, opened=True)
async def prefer(call: SetupCall) -> Response:
    """Choose a language, or light or dark."""
    return preferred(call.typed)


def here(desk: Desk) -> str:
    """The page that the browser has come to."""
    if is_making(desk):
        return PROGRESS
    return SUMMARY if desk.draft.next is None else address_of_step(desk.draft.next)


def is_making(desk: Desk) -> bool:
    """Whether it is made, or being made: then nothing is typed any more."""
    return desk.making is not None and desk.making.trouble is None


def address_of_step(step: Step) -> str:
    """Of its page."""
    return f"{ENTER}/{step}"


def _page_of(step: Step) -> None:
    """Declare the page of a step, and what its form asks for."""

    async def show(call: SetupCall) -> Response:
        if is_making(call.desk) or not call.desk.draft.reached(step):
            return call.go(here(call.desk))
        return call.show(f"{step.name.lower()}.html", **_shown(call, step))

    async def take(call: SetupCall) -> Response:
        async with call.desk.turn:
            return await _taken(call, step, show)

    pages.shows(address_of_step(step))(show)
    pages.does(address_of_step(step), again=show)(take)


async def _taken(call: SetupCall, step: Step, show: Handler) -> Response:
    """Keep what was typed, whatever comes of it; go back, or try it and go on."""
    desk, act = call.desk, call.typed.get("act")
    if is_making(desk) or not desk.draft.reached(step):
        return call.go(here(desk))
    desk.draft.keep(step, call.typed)
    if act == "back":
        return call.go(address_of_step(_before(step)))
    desk.draft.passed.discard(step)
    desk.draft.tried[step] = tried = await TRIALS[step](desk)
    trouble = trouble_in(tried, call.words)
    if trouble or act == "test" or _is_to_choose(desk.draft, step, call.typed):
        return await show(replace(call, trouble=trouble))
    desk.draft.passed.add(step)
    steps = list(Step)
    return call.go(SUMMARY if step is steps[-1] else address_of_step(steps[steps.index(step) + 1]))


def _before(step: Step) -> Step:
    """The one before; before the first there is itself."""
    return list(Step)[max(0, list(Step).index(step) - 1)]


def _is_to_choose(draft: Draft, step: Step, typed: Typed) -> bool:
    """Whether there is a list of root keys now that nobody has seen yet."""
    return step is Step.KEY_MANAGER and draft.at_ibm and "root_key" not in typed


def _shown(call: SetupCall, step: Step) -> Mapping[str, Any]:
    draft = call.desk.draft
    return {
        **frame_of(call, step),
        "tried": draft.tried.get(step, ()),
        "before": remarks(draft, _before(step)),
        "config": call.desk.config_for(draft.directory),
        "region_choices": [(each, each) for each in REGIONS[KEY_PROTECT]],
        "root_key_choices": _root_keys(call.words, draft),
        "shortest": SHORTEST,
        "longest": LONGEST,
        "least_passphrase": LEAST_PASSPHRASE,
    }


def remarks(draft: Draft, *steps: Step) -> Sequence[Tried]:
    """What is worth knowing of these steps."""
    return [each for step in steps for each in draft.tried.get(step, ()) if each.verdict is Verdict.REMARK]


def frame_of(call: SetupCall, step: Step | None) -> Mapping[str, Any]:
    """What every page behind the link shows of the steps; ``None``: the one after them."""
    draft = call.desk.draft
    return {
        "draft": draft,
        "steps": list(Step),
        "step": step,
        "address": address_of_step,
        "settled": is_making(call.desk),
    }


def _root_keys(words: Words, draft: Draft) -> Sequence[tuple[str, str]]:
    """Those that can be chosen, and one that is made; it is the last, since there is mostly one already."""
    active = [(each.identifier, f"{each.name} ({each.identifier})") for each in draft.root_keys if each.state == ACTIVE]
    return [*active, ("", words.text(NEW_ROOT_KEY))]


for _step in Step:
    _page_of(_step)
