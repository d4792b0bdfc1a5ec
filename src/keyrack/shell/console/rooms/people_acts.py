"""``/people/{person}``: one person, and what an administrator does with roles, ways in, log-ins and API keys.

Each act is asked for by a page of its own, which says what happens; where it needs a proof, or is refused, that page is
shown again and says so.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.people import Person
from keyrack.domain.rights import Right, Role
from keyrack.service.office.refusals import Refused, Unusable
from keyrack.service.people import api_keys, logins, persons
from keyrack.service.people.door import key_stands
from keyrack.service.people.throttle import waits_until
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.people import instance_names, is_local, refuse_who_only_looks
from keyrack.shell.console.rooms.people_words import ACTS
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.people import RoleGiven, grant_role, invite_person, revoke_role

room = Room()
KEPT: Final = ("role", "instance", "log-in", "api-key")
"""What an act is about, beside the person."""


async def _person(call: Call) -> Person:
    return await persons.person(call.administration, call.catalog, call.path["person"])


@room.shows("/people/{person}")
async def show_person(call: Call) -> Response:
    """All that there is to know of one person."""
    who = await _person(call)
    office, book = call.administration, call.catalog
    keys = await api_keys.api_keys(office, book, who)
    until = await waits_until(book, who.name)
    actor = office.administrator.actor
    return call.show(
        "people/person.html",
        who=who,
        local=is_local(who),
        myself=actor is not None and actor.person == who.identifier,
        grants=sorted(who.grants),
        instances=await instance_names(call),
        choices=list(Role),
        keys=[(each, key_stands(each, call.now)) for each in keys],
        log_ins=[
            (logins.shown(each), each) for each in await logins.log_ins(office, book, who, ends=call.premises.ends)
        ],
        waits_until=until if until > call.now else None,
        changes=call.may(Right.PERSON_CHANGE) and who.removed_at is None,
    )


@room.shows("/people/{person}/{act}")
async def show_act(call: Call) -> Response:
    """An act, before it is done: what happens by it."""
    who = await _person(call)
    act = call.request.url.path.rpartition("/")[2]
    if act not in ACTS:
        raise Unusable(mark("there is no such act"))
    if call.trouble is None:
        refuse_who_only_looks(call)
    return call.show(
        "people/act.html",
        who=who,
        act=act,
        asked=ACTS[act],
        kept=[(name, value) for name in KEPT for value in call.typed.all(name)],
        instances=await instance_names(call),
        choices=list(Role),
        confirmed=act == "remove",
    )


def _given(call: Call) -> RoleGiven:
    role = call.typed.get("role")
    if role not in set(Role):
        raise Unusable(mark("choose a role"), field="role")
    return RoleGiven(role=Role(role), instance=call.typed.get("instance") or None)


async def _grant(call: Call, who: Person) -> None:
    await grant_role(call.known, who.identifier, _given(call), Response())


async def _take(call: Call, who: Person) -> None:
    await revoke_role(call.known, who.identifier, _given(call), Response())


async def _lock(call: Call, who: Person) -> None:
    await persons.disable(call.administration, call.catalog, who)


async def _unlock(call: Call, who: Person) -> None:
    await persons.enable(call.administration, call.catalog, who)


async def _remove(call: Call, who: Person) -> None:
    call.administration.require(Right.PERSON_CHANGE)
    if call.typed.get("name").lower() != who.name:
        raise Unusable(mark("that is not the person's name"), field="name", hint=mark("type it as it stands above"))
    await persons.remove(call.administration, call.catalog, who)


async def _end_log_ins(call: Call, who: Person) -> None:
    await logins.end_log_in(call.administration, call.catalog, who, call.typed.get("log-in") or None)


async def _revoke_key(call: Call, who: Person) -> None:
    found = await api_keys.api_key(call.administration, call.catalog, call.typed.get("api-key"), who)
    await api_keys.revoke(call.administration, call.catalog, found)


DOES: Final[Mapping[str, Callable[[Call, Person], Awaitable[Any]]]] = {
    "grant": _grant,
    "take": _take,
    "lock": _lock,
    "unlock": _unlock,
    "remove": _remove,
    "log-ins": _end_log_ins,
    "api-key": _revoke_key,
}


@room.does("/people/{person}/link", again=show_act)
async def make_link(call: Call) -> Response:
    """A link that is shown this one time."""
    who = await _person(call)
    link = await invite_person(call.known, who.identifier, call.premises)
    return call.show("people/link.html", who=who.name, identifier=who.identifier, link=link, added=False)


@room.does("/people/{person}/{act}", again=show_act)
async def do_act(call: Call) -> Response:
    """One of :data:`DOES`."""
    who, act = await _person(call), call.path["act"]
    if act not in DOES:
        raise Refused(mark("there is no such act"))
    await DOES[act](call, who)
    return call.go(f"/people/{who.identifier}", done=f"person-{act}")
