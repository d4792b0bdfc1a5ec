"""From whatever goes wrong to what a page tells: one table, the one of REST, spoken in the reader's language."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as each_its_own
from typing import Any, Final

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from keyrack.ports.back_office import BackOfficeUnavailable
from keyrack.ports.catalog import (
    CatalogUnavailable,
    InstanceSealed,
    OutcomeUnknown,
    RightsChanged,
    RollbackMode,
    TooMany,
)
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerUnavailable
from keyrack.service.office.refusals import Refused
from keyrack.shell.console.words import mark
from keyrack.shell.faults import fault
from keyrack.shell.rest.v1.problems import HIDDEN, KINDS, UNKNOWN, Problem

log = logging.getLogger(__name__)

TOLD: Final = (
    Problem,
    Refused,
    ValidationError,
    CatalogUnavailable,
    BackOfficeUnavailable,
    KeyManagerFailed,
    RightsChanged,
    InstanceSealed,
    TooMany,
)
"""What a page can tell of; everything else is a fault of ours."""
TITLES: Final[Mapping[str, str]] = {
    "not-found": mark("There is nothing here"),
    "method-not-allowed": mark("There is nothing to look at here"),
    "csrf": mark("This did not come from a page of this server"),
    "forbidden": mark("You may not do this"),
    "bad-request": mark("This cannot be read"),
    "too-large": mark("This is too long"),
    "unsupported-media-type": mark("This is no form"),
    "wrong-host": mark("This server has another name"),
    "too-many-requests": mark("Too many requests"),
    "internal": mark("Something went wrong that nobody foresaw"),
    "unavailable": mark("It does not work now"),
}
"""Of pages; REST's own speak of bodies and tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong, in English; the page says it in its language."""

    code: str
    told: str
    """What happened and why."""
    hint: str = ""
    """What to do about it."""
    field: str = ""
    """The name of the field that it is about; empty where it is about none."""
    more: Mapping[str, Any] = each_its_own(default_factory=dict)
    fields: Mapping[str, str] = each_its_own(default_factory=dict)
    """What is wrong with each field, where it is about several."""

    @property
    def status(self) -> int:
        """HTTP's."""
        return KINDS.get(self.code, UNKNOWN).status

    @property
    def title(self) -> str:
        """What all of its code have in common, as a person sees it."""
        return TITLES.get(self.code) or KINDS.get(self.code, UNKNOWN).title

    def at(self, name: str) -> str:
        """What is wrong with a field; empty where nothing is."""
        return self.told if name == self.field else self.fields.get(name, "")


def trouble_of(error: Exception) -> Trouble:
    """What a page tells of one of :data:`TOLD`."""
    if isinstance(error, Refused):
        told = HIDDEN if error.code == "not-found" else error.told
        return Trouble(code=error.code, told=told, hint=error.hint, field=error.field, more=error.more)
    if isinstance(error, Problem):
        wait = error.headers.get("retry-after")
        more = {**error.more, "retry_after": wait} if wait else error.more
        return Trouble(code=error.code, told=error.detail, hint=error.hint, field=error.field, more=more)
    if isinstance(error, ValidationError):
        fields = {str(each["loc"][-1]) if each["loc"] else "": _in_words(each["msg"]) for each in error.errors()}
        return Trouble(code="invalid", told=mark("some fields cannot be used"), fields=fields)
    return _of_elsewhere(error)


def _of_elsewhere(error: Exception) -> Trouble:
    """Of catalog, key manager and back office."""
    told = {
        RollbackMode: ("rolled-back", f"{error}; nothing was changed", mark("'keyrack backup agree' ends that")),
        OutcomeUnknown: (
            "unavailable",
            mark("the catalog did not answer in time: it was done, or it was not; look before you try again"),
            "",
        ),
        CatalogUnavailable: (
            "unavailable",
            mark("the catalog cannot be read or written now, and nothing was changed"),
            mark("'keyrack doctor' says why"),
        ),
        BackOfficeUnavailable: ("back-office-unavailable", str(error), mark("is 'keyrack serve' running?")),
        KeyManagerUnavailable: (
            "key-manager-unavailable",
            mark("the key manager cannot be reached now, and nothing was changed"),
            mark("'keyrack doctor' says why"),
        ),
        KeyManagerFailed: ("key-manager-refused", str(error), ""),
        RightsChanged: ("forbidden", mark("your rights were changed just now"), mark("log in again")),
        InstanceSealed: ("sealed", mark("the instance is sealed"), mark("unseal it first")),
        TooMany: ("limit-reached", mark("there are as many as there may be"), ""),
    }
    code, what, hint = next(line for kind, line in told.items() if isinstance(error, kind))
    return Trouble(code=code, told=what, hint=hint)


def trouble_of_http(request: Request, error: HTTPException) -> Trouble:
    """Of a path or a method that there is not."""
    if error.status_code == 405:
        return Trouble(code="method-not-allowed", told=mark("this address is for a form, and not for looking at"))
    return Trouble(code="not-found", told=HIDDEN, hint=mark("go on from the menu"))


def trouble_of_ours(request: Request, error: Exception) -> Trouble:
    """Of a fault of ours, which the log tells; the page says under which name."""
    log.error("unforeseen", extra={"correlation": (correlation := request.state.correlation), **fault(error)})
    return Trouble(
        code="internal",
        told=mark("it is not your fault; the server's log tells more"),
        more={"incident": correlation},
    )


def _in_words(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "it has to be").replace("String", "it")
