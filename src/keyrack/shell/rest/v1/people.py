"""``/people``: who administers, with which roles; and ``/me``, whoever asks."""

from typing import Annotated, Literal

from fastapi import Path, Query, Response
from pydantic import Field, StringConstraints

from keyrack.domain.people import LOCAL, Person
from keyrack.domain.rights import Grant, Right, Role
from keyrack.service.people import letting_in, persons
from keyrack.shell.links import set_password_link
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Instant, Name, Resource, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.premises import Keeper
from keyrack.shell.rest.v1.routing import OnceShown, noun

router = noun("people")

PersonName = Annotated[
    str, Path(alias="person", min_length=1, max_length=400, description="Identifier or name of the person.")
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""Longer than a password may be, so that the rule itself answers; bounded all the same."""
State = Literal["active", "invited", "disabled", "removed"]


class RoleHeld(Resource):
    """A role that somebody has."""

    role: Role
    instance: Annotated[str | None, Field(description="Identifier of the instance; null for everywhere.")]


class PersonShown(Resource):
    """Somebody who may log in."""

    identifier: str
    name: Annotated[str, Field(description="What is typed at log-in; the journal says person- and the name.")]
    display: str | None
    state: State
    source: Annotated[str, Field(description="local, or the issuer whose tokens mean this person.")]
    subject: str | None
    roles: list[RoleHeld]
    created_at: Instant
    created_by: str
    last_login_at: Instant | None


class MyselfShown(PersonShown):
    """Whoever asks, and what that log-in or API key may do."""

    rights: Annotated[list[RoleHeld], Field(description="The roles that count for this token.")]
    proved_at: Annotated[
        Instant | None, Field(description="The last proof of a log-in, which some acts want; null for an API key.")
    ]


class PersonNew(Body):
    """Somebody to add."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    display: Annotated[str, StringConstraints(max_length=200)] = ""
    roles: Annotated[list["RoleGiven"], Field(max_length=50)] = []
    issuer: Annotated[str | None, Field(max_length=500, description="Without it, a local person.")] = None
    subject: Annotated[str | None, Field(max_length=255, description="`sub` of the issuer's tokens.")] = None


class RoleGiven(Body):
    """A role to give or to take."""

    role: Role
    instance: Annotated[Name | None, Field(description="Name or identifier; else everywhere.")] = None


class LinkShown(Resource):
    """With which somebody sets a password, once."""

    link: str | None = Field(description="The page on which the password is set; shown this one time.")
    token: str = Field(description="What is behind the # of it, for `POST /set-password`.")
    expires_at: Instant


class PersonAdded(PersonShown):
    """Somebody new, and the link for a local person."""

    invitation: LinkShown | None


class PasswordChange(Body):
    """A password of one's own to change."""

    old: Password
    new: Password


@router.get("/me")
async def show_myself(caller: Caller) -> MyselfShown:
    """Show who you are, and what you may with this token."""
    who = caller.administration.administrator
    found = await persons.myself(caller.administration, caller.catalog)
    return MyselfShown(**shown(found).model_dump(), rights=_held(who.grants.held), proved_at=instant(who.proved_at))


@router.post("/me/password", status_code=204)
async def change_my_password(caller: Caller, body: PasswordChange, keeper: Keeper) -> None:
    """Change your password; your other log-ins end."""
    await letting_in.change_password(caller.administration, caller.catalog, keeper.passwords, body.old, body.new)


@router.get("/people")
async def list_people(
    caller: Caller, page: Paging, removed: Annotated[bool, Query(description="Also those who were removed.")] = False
) -> Listing[PersonShown]:
    """List people, by name."""
    found = await persons.people(caller.administration, caller.catalog, removed=removed)
    return page.of(found, lambda each: each.name, shown)


@router.post("/people", status_code=201, response_class=OnceShown)
async def add_person(caller: Caller, body: PersonNew, response: Response, keeper: Keeper) -> PersonAdded:
    """Add a person; a local one sets the password with the link that is answered."""
    office, book = caller.administration, caller.catalog
    grants = [await persons.grant_over(office, each.role, each.instance) for each in body.roles]
    source = body.issuer or LOCAL
    made = await persons.add(
        office, book, body.name, grants, source=source, subject=body.subject or "", display=body.display
    )
    invitation = await _invited(caller, keeper, made) if made.source == LOCAL else None
    response.headers["location"] = f"/api/v1/people/{made.identifier}"
    response.headers["etag"] = tag(made)
    return PersonAdded(**shown(made).model_dump(), invitation=invitation)


@router.get("/people/{person}")
async def show_person(caller: Caller, person: PersonName, response: Response) -> PersonShown:
    """Show one person."""
    return _answered(await _found(caller, person), response)


@router.delete("/people/{person}", status_code=204)
async def remove_person(caller: Caller, person: PersonName, seen: IfMatch) -> None:
    """Remove a person for good; the name is never given again."""
    found = await _found(caller, person)
    seen.holds(tag(found))
    await persons.remove(caller.administration, caller.catalog, found)


@router.post("/people/{person}/grant")
async def grant_role(caller: Caller, person: PersonName, body: RoleGiven, response: Response) -> PersonShown:
    """Grant a role; log-ins of the person end, so that it counts at once."""
    added = await persons.grant_over(caller.administration, body.role, body.instance)
    found = await _found(caller, person)
    return _answered(await persons.grant(caller.administration, caller.catalog, found, added), response)


@router.post("/people/{person}/revoke")
async def revoke_role(caller: Caller, person: PersonName, body: RoleGiven, response: Response) -> PersonShown:
    """Take a role back; it has to be granted over exactly what is named."""
    caller.administration.require(Right.PERSON_CHANGE)
    found = await _found(caller, person)
    gone = Grant(body.role, body.instance or "")
    if gone not in found.grants:
        gone = await persons.grant_over(caller.administration, body.role, body.instance)
    return _answered(await persons.revoke(caller.administration, caller.catalog, found, gone), response)


@router.post("/people/{person}/disable")
async def disable_person(caller: Caller, person: PersonName, response: Response) -> PersonShown:
    """Lock a person out, API keys too."""
    found = await _found(caller, person)
    return _answered(await persons.disable(caller.administration, caller.catalog, found), response)


@router.post("/people/{person}/enable")
async def enable_person(caller: Caller, person: PersonName, response: Response) -> PersonShown:
    """Let a person in again who was locked out."""
    found = await _found(caller, person)
    return _answered(await persons.enable(caller.administration, caller.catalog, found), response)


@router.post("/people/{person}/invite", response_class=OnceShown)
async def invite_person(caller: Caller, person: PersonName, keeper: Keeper) -> LinkShown:
    """Make a link with which a person sets a password, once; an older one counts no more."""
    return await _invited(caller, keeper, await _found(caller, person))


async def _found(caller: Visit, person: str) -> Person:
    return await persons.person(caller.administration, caller.catalog, person)


async def _invited(caller: Visit, keeper: Keeper, who: Person) -> LinkShown:
    token = await letting_in.invite(caller.administration, caller.catalog, who)
    link = set_password_link(keeper.config, token) if keeper.config else None
    return LinkShown(link=link, token=token, expires_at=since(caller.now + letting_in.LINK_LASTS))


def _answered(who: Person, response: Response) -> PersonShown:
    response.headers["etag"] = tag(who)
    return shown(who)


def tag(who: Person) -> str:
    """What a change of the person is a change of; a log-in is none."""
    return etag_of(who.identifier, who.revision)


def _held(grants: frozenset[Grant]) -> list[RoleHeld]:
    return [RoleHeld(role=each.role, instance=each.instance or None) for each in sorted(grants)]


def shown(who: Person) -> PersonShown:
    """A person as it is answered; never the password's hash."""
    return PersonShown(
        identifier=who.identifier,
        name=who.name,
        display=who.display or None,
        state=who.state,
        source=who.source,
        subject=who.subject or None,
        roles=_held(who.grants),
        created_at=since(who.created_at),
        created_by=who.created_by,
        last_login_at=instant(who.last_login_at),
    )
