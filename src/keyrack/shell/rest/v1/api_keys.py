"""``/api-keys``: what programs show, in the name of a person."""

from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import Field, StringConstraints

from keyrack.domain.people import ApiKey
from keyrack.domain.rights import Role
from keyrack.service.people import api_keys, persons
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Instant, Resource, Whole, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.people import PersonName
from keyrack.shell.rest.v1.routing import OnceShown, noun

router = noun("api-keys")

KeyNamed = Annotated[
    str, Path(alias="api_key", min_length=1, max_length=100, description="Identifier of an API key, or its name.")
]


class ApiKeyShown(Resource):
    """An API key, without the key."""

    identifier: str
    person: Annotated[str, Field(description="Identifier of the person in whose name it acts.")]
    name: str
    roles: Annotated[list[Role] | None, Field(description="Only these of the person's roles; null for all.")]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Annotated[Instant | None, Field(description="To the minute.")]
    revoked_at: Instant | None


class ApiKeyMade(ApiKeyShown):
    """A new API key."""

    api_key: Annotated[str, Field(description="The key itself; shown this one time.")]


class ApiKeyNew(Body):
    """An API key to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    roles: Annotated[list[Role], Field(max_length=5, description="Only these of your roles; without it all.")] = []
    days: Annotated[Whole, Field(ge=1, le=api_keys.MOST_DAYS, description="Until it ends.")] = api_keys.USUAL_DAYS


@router.get("/api-keys")
async def list_api_keys(
    caller: Caller,
    page: Paging,
    person: Annotated[str | None, Query(max_length=400, description="Only this person's: identifier or name.")] = None,
) -> Listing[ApiKeyShown]:
    """List API keys, oldest first, revoked ones too; without `person` everybody's."""
    office, book = caller.administration, caller.catalog
    who = await persons.person(office, book, person) if person else None
    found = await api_keys.api_keys(office, book, who)
    return page.of(found, lambda each: (f"{each.created_at:020}", each.identifier), shown)


@router.post("/people/{person}/api-keys", status_code=201, response_class=OnceShown)
async def create_api_key(caller: Caller, person: PersonName, body: ApiKeyNew, response: Response) -> ApiKeyMade:
    """Make an API key of your own; it is shown this one time."""
    office, book = caller.administration, caller.catalog
    who = await persons.person(office, book, person)
    made, token = await api_keys.create(office, book, who, body.name, roles=frozenset(body.roles), days=body.days)
    response.headers["location"] = f"/api/v1/api-keys/{made.identifier}"
    response.headers["etag"] = _tag(made)
    return ApiKeyMade(**shown(made).model_dump(), api_key=token)


@router.get("/api-keys/{api_key}")
async def show_api_key(caller: Caller, api_key: KeyNamed, response: Response) -> ApiKeyShown:
    """Show one API key."""
    found = await api_keys.api_key(caller.administration, caller.catalog, api_key)
    response.headers["etag"] = _tag(found)
    return shown(found)


@router.delete("/api-keys/{api_key}", status_code=204)
async def revoke_api_key(caller: Caller, api_key: KeyNamed, seen: IfMatch) -> None:
    """Revoke an API key, at once and for good."""
    found = await api_keys.api_key(caller.administration, caller.catalog, api_key)
    seen.holds(_tag(found))
    await api_keys.revoke(caller.administration, caller.catalog, found)


def _tag(key: ApiKey) -> str:
    """That it was used is no change of it."""
    return etag_of(key.identifier, key.name, key.revoked_at)


def shown(key: ApiKey) -> ApiKeyShown:
    """An API key as it is answered."""
    return ApiKeyShown(
        identifier=key.identifier,
        person=key.person,
        name=key.name,
        roles=sorted(key.roles) or None,
        created_at=since(key.created_at),
        expires_at=instant(key.expires_at),
        last_used_at=instant(key.last_used_at),
        revoked_at=instant(key.revoked_at),
    )
