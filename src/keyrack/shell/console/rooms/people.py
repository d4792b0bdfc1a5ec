"""``/people``: who administers, with which roles; somebody new; and what each role may."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from keyrack.domain.people import LOCAL, Person
from keyrack.domain.rights import PROVED_AGAIN, ROLES, Right, Role
from keyrack.service.people import api_keys, persons
from keyrack.service.people.door import key_stands
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.people_words import GROUPS, MEANINGS
from keyrack.shell.rest.v1.people import PersonNew, RoleGiven, add_person

PAGE: Final = 100
"""People of one page."""
room = Room()


@room.shows("/people")
async def show_people(call: Call) -> Response:
    """All of them by name, a page at a time."""
    removed, part = "removed" in call.typed, call.typed.get("name").lower()
    found = await persons.people(call.administration, call.catalog, removed=removed)
    fitting = [each for each in found if part in each.name or part in each.display.lower()]
    later = [each for each in fitting if each.name > call.typed.get("after")]
    keys = await api_keys.api_keys(call.administration, call.catalog)
    counts = Counter(each.person for each in keys if key_stands(each, call.now))
    return call.show(
        "people/people.html",
        people=later[:PAGE],
        all=len(fitting),
        following=later[PAGE - 1].name if len(later) > PAGE else "",
        counts=counts,
        instances=await instance_names(call),
        removed=removed,
    )


async def instance_names(call: Call) -> Mapping[str, str]:
    """Names of instances by their identifiers."""
    return {each.identifier: each.name for each in await call.administration.instances()}


@room.shows("/people/new")
async def show_new(call: Call) -> Response:
    """The form for somebody new."""
    refuse_who_only_looks(call)
    return call.show("people/new.html", instances=await instance_names(call), provider=_provider(call))


def _provider(call: Call) -> str:
    """The issuer of tokens that people may come with; empty where none is configured."""
    config = call.premises.config
    return config.api.oidc.issuer if config is not None and config.api.oidc is not None else ""


@room.does("/people/new", again=show_new)
async def add(call: Call) -> Response:
    """Enter somebody, and show the one-time link of a local person, this one time."""
    typed = call.typed
    elsewhere = typed.get("source") == "provider"
    body = PersonNew(
        name=typed.get("name"),
        display=typed.get("display"),
        roles=[
            RoleGiven(role=Role(each), instance=typed.get("instance") or None) for each in _roles(typed.all("role"))
        ],
        issuer=_provider(call) if elsewhere else None,
        subject=typed.get("subject") or None if elsewhere else None,
    )
    made = await add_person(call.known, body, Response(), call.premises)
    return call.show("people/link.html", who=made.name, identifier=made.identifier, link=made.invitation, added=True)


def _roles(said: Sequence[str]) -> Sequence[Role]:
    return [role for role in Role if role in said]


@room.shows("/people/rights")
async def show_rights(call: Call) -> Response:
    """What each role may: the table that the code asks."""
    call.administration.require(Right.PERSON_READ)
    return call.show(
        "people/rights.html", roles=list(Role), held=ROLES, groups=GROUPS, meanings=MEANINGS, again=PROVED_AGAIN
    )


def refuse_who_only_looks(call: Call) -> None:
    """Before a form is shown; a proof is asked for when it is sent. Raises ``Forbidden``."""
    if not call.may(Right.PERSON_CHANGE):
        call.administration.require(Right.PERSON_CHANGE)


def is_local(who: Person) -> bool:
    """Whether the password is kept here."""
    return who.source == LOCAL
