"""``/log-in``, ``/log-out``: where a log-in begins and ends, here or at a provider, and what somebody prefers."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from keyrack.service.people import logins
from keyrack.shell.console.calls import LOG_IN, LOOKING, Call, Room, local, show_trouble
from keyrack.shell.console.typed import preferred
from keyrack.shell.rest.v1.oidc import begin_at_provider
from keyrack.shell.rest.v1.sessions import ENDED, cookie_of, visitor_of

room = Room()


@room.shows(LOG_IN, opened=True)
async def show_log_in(call: Call) -> Response:
    """Name and password, or the provider; who is logged in already goes on at once."""
    if call.visit is not None and call.trouble is None and call.request.method in LOOKING:
        return call.go(local(call.typed.get("next", "/")))
    table = call.config.api.oidc
    return call.show("log_in/log_in.html", provider=urlsplit(table.issuer).hostname if table else "")


@room.does(LOG_IN, again=show_log_in, opened=True)
async def log_in(call: Call) -> Response:
    """Begin a log-in, and go on to the page that was asked for."""
    premises = call.premises
    begun = await logins.log_in(
        premises.catalog,
        premises.passwords,
        call.typed.get("name"),
        call.typed.raw("password"),
        visitor=visitor_of(call.request),
        ends=premises.ends,
    )
    answer = call.go(local(call.typed.get("next", "/")))
    answer.headers["set-cookie"] = cookie_of(begun)
    return answer


@room.shows("/log-in/provider", opened=True)
async def go_to_provider(call: Call) -> Response:
    """To the provider, which sends the browser back to the page that was asked for; ``again``: with a new proof.

    It is a link and no form: a form may lead nowhere else, which is what keeps what is typed into one here.
    """
    again, back = call.typed.get("again") == "yes", local(call.typed.get("next", "/"))
    url, cookie = await begin_at_provider(call.request, call.premises, again=again, back=back)
    return RedirectResponse(url, 303, headers={"set-cookie": cookie})


@room.does("/log-out", again=show_trouble)
async def log_out(call: Call) -> Response:
    """End the log-in."""
    await logins.log_out(call.administration, call.catalog)
    answer = call.go(LOG_IN, done="logged-out")
    answer.headers["set-cookie"] = ENDED
    # What the browser keeps of this log-in beside the cookie: what was typed and not sent.
    answer.headers["clear-site-data"] = '"storage"'
    return answer


@room.does("/preferences", again=show_trouble, opened=True)
async def prefer(call: Call) -> Response:
    """Choose a language, or light or dark; a browser remembers it."""
    return preferred(call.typed)
