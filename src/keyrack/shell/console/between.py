"""Pages between another site and this one: where somebody comes back from the provider of a log-in."""

from starlette.requests import Request
from starlette.responses import Response

from keyrack.service.office.refusals import Refused
from keyrack.shell.console.calls import Call
from keyrack.shell.console.places import log_in_for
from keyrack.shell.console.troubles import trouble_of
from keyrack.shell.console.words import spoken


def show_onward(request: Request, to: str, person: str) -> Response:
    """A page that goes on by itself. The browser brings the cookie of the log-in there, since this one asks for it."""
    return Call(request=request, words=spoken(request)).show("log_in/onward.html", to=to, person=person)


def show_refusal(request: Request, error: Refused, back: str) -> Response:
    """Nobody was logged in, and why; from here it can be tried again."""
    call = Call(request=request, words=spoken(request), trouble=trouble_of(error))
    return call.show("log_in/refused.html", to=log_in_for(back))
