"""``/account``: who somebody is here, the own password, the own log-ins and the own API keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from keyrack.domain.people import LOCAL, ApiKey, LoginSession, Person
from keyrack.domain.rights import EVERYWHERE, Role
from keyrack.service.office.refusals import NotRecognised, Unusable
from keyrack.service.people import api_keys, letting_in, logins, persons
from keyrack.service.people.door import key_stands
from keyrack.shell.console.calls import WRONG_PROOF, Call, Room
from keyrack.shell.console.rooms.links import refuse_unlike
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark

room = Room()
tells(
    {
        "password-changed": mark("Your password is changed. All your other log-ins have ended."),
        "log-in-ended": mark("The log-in has ended."),
        "log-ins-ended": mark("All your other log-ins have ended."),
        "api-key-revoked": mark("The API key counts no more."),
    }
)


@room.shows("/account")
async def show_account(call: Call) -> Response:
    """All of it on one page."""
    return call.show("account/account.html", **await _mine(call))


@room.does("/account/password", again=show_account)
async def change_password(call: Call) -> Response:
    """Another password, proved by the old one."""
    refuse_unlike(call, "password", "again")
    old, new = call.typed.raw("old"), call.typed.raw("password")
    try:
        await letting_in.change_password(call.administration, call.catalog, call.premises.passwords, old, new)
    except NotRecognised:
        raise NotRecognised(WRONG_PROOF, field="old", hint=mark("type it once more")) from None
    return call.go("/account", done="password-changed")


@room.does("/account/log-ins/end", again=show_account)
async def end_log_in(call: Call) -> Response:
    """End one of the own log-ins, or all but this one."""
    me = await persons.myself(call.administration, call.catalog)
    if named := call.typed.get("log-in"):
        await logins.end_log_in(call.administration, call.catalog, me, named)
        return call.go("/account", done="log-in-ended")
    for each in await _log_ins(call, me):
        if not _is_this(call, each):
            await logins.end_log_in(call.administration, call.catalog, me, logins.shown(each))
    return call.go("/account", done="log-ins-ended")


@room.does("/account/api-keys", again=show_account)
async def create_api_key(call: Call) -> Response:
    """Make one, and show it this one time."""
    office, book = call.administration, call.catalog
    me = await persons.myself(office, book)
    made, token = await api_keys.create(
        office, book, me, call.typed.get("name"), roles=_roles(call), days=_days(call.typed.get("days"))
    )
    return call.show("account/api_key.html", made=made, token=token)


@room.does("/account/api-keys/revoke", again=show_account)
async def revoke_api_key(call: Call) -> Response:
    """End one, at once and for good."""
    office, book = call.administration, call.catalog
    me = await persons.myself(office, book)
    found = await api_keys.api_key(office, book, call.typed.get("key"), me)
    await api_keys.revoke(office, book, found)
    return call.go("/account", done="api-key-revoked")


async def _mine(call: Call) -> Mapping[str, Any]:
    office, book = call.administration, call.catalog
    me = await persons.myself(office, book)
    named = {each.identifier: each.name for each in await office.instances()}
    held = await api_keys.api_keys(office, book, me)
    return {
        "me": me,
        "local": me.source == LOCAL,
        "grants": [(each.role, named.get(each.instance, "")) for each in sorted(me.grants) if _stands(each, named)],
        "log_ins": [(logins.shown(each), each, _is_this(call, each)) for each in await _log_ins(call, me)],
        "api_keys": _newest_first(held, call.now),
        "days": api_keys.USUAL_DAYS,
        "most_days": api_keys.MOST_DAYS,
    }


def _stands(grant: Any, named: Mapping[str, str]) -> bool:
    """Whether what the grant is for is there still."""
    return grant.instance == EVERYWHERE or grant.instance in named


async def _log_ins(call: Call, me: Person) -> Sequence[LoginSession]:
    return await logins.log_ins(call.administration, call.catalog, me, ends=call.premises.ends)


def _is_this(call: Call, session: LoginSession) -> bool:
    actor = call.administration.administrator.actor
    return actor is not None and actor.session == session.digest


def _newest_first(held: Sequence[ApiKey], now: int) -> Sequence[tuple[ApiKey, bool]]:
    """Each with whether it counts; those that do come first."""
    told = [(each, key_stands(each, now)) for each in reversed(held)]
    return sorted(told, key=lambda each: not each[1])


def _roles(call: Call) -> frozenset[Role]:
    try:
        return frozenset(Role(each) for each in call.typed.all("roles"))
    except ValueError:
        raise Unusable(mark("there is no such role"), field="roles") from None


def _days(typed: str) -> int:
    if not typed.isascii() or not typed.isdecimal() or len(typed) > 9:
        raise Unusable(mark("a number of days is wanted"), field="days")
    return int(typed)
