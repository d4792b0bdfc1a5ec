"""``/set-password``, ``/log-in/link``: the pages behind one-time links.

The token stands behind the ``#`` of the address, which no browser sends and no server logs; a script of ours moves it
from there into the form.
"""

from starlette.responses import Response

from keyrack.service.office.refusals import Unusable
from keyrack.service.people import letting_in, log_in_links
from keyrack.shell.console.calls import LOG_IN, Call, Room
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.sessions import cookie_of, visitor_of

room = Room()
tells({"password-set": mark("Your password is set. You can log in with it now.")})


@room.shows("/set-password", opened=True)
async def show_set_password(call: Call) -> Response:
    """A new password, twice."""
    return call.show("log_in/set_password.html")


@room.does("/set-password", again=show_set_password, opened=True)
async def set_password(call: Call) -> Response:
    """Set it with the link; log-ins of before end."""
    refuse_unlike(call, "password", "again")
    premises = call.premises
    token, password = call.typed.get("token"), call.typed.raw("password")
    await letting_in.redeem(premises.catalog, premises.passwords, token, password, visitor=visitor_of(call.request))
    return call.go(LOG_IN, done="password-set")


@room.shows("/log-in/link", opened=True)
async def show_log_in_link(call: Call) -> Response:
    """A form that sends itself."""
    return call.show("log_in/link.html")


@room.does("/log-in/link", again=show_log_in_link, opened=True)
async def log_in_with_link(call: Call) -> Response:
    """Begin the log-in of whoever has the link."""
    premises = call.premises
    begun = await log_in_links.use(
        premises.catalog, call.typed.get("token"), visitor=visitor_of(call.request), ends=premises.ends
    )
    answer = call.go("/")
    answer.headers["set-cookie"] = cookie_of(begun)
    return answer


def refuse_unlike(call: Call, one: str, two: str) -> None:
    """Raise :class:`Unusable` where a password was not typed twice alike."""
    if call.typed.raw(one) != call.typed.raw(two):
        raise Unusable(mark("the two are not the same"), field=two)
