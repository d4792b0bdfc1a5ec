"""Keys: created, listed, counted, read, and moved to another key ring."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from keyrack.embedded import creation, lifecycle, lookup
from keyrack.embedded.call import Call
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key
from keyrack.embedded.search import LIMIT, Searched
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer, encoded_one_by_one
from keyrack.shell.rest.key_protect.calls import Paging, operation, paging
from keyrack.shell.rest.key_protect.desk import AtDesk, Desk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.key_bodies import KEY, CreateKey, CreateKeyWithOverrides, Patch
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.shell.rest.key_protect.resources import KeyList, Keys, KeyVersions

router = APIRouter(tags=["keys"])


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """A query parameter of a list: an empty one counts as none."""
    if schema["type"] != "string":
        schema = {"anyOf": [schema, {"type": "string", "maxLength": 0}]}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


_OF_A_TOTAL: Final = (
    _parameter(
        "state",
        "States of keys, joined by commas; without it all but deleted ones.",
        type="string",
        pattern="^([01235](,[01235])*)?$",
    ),
    _parameter("extractable", "true: standard keys; false: root keys.", type="boolean"),
    _parameter("filter", 'Terms like creationDate=gte:"2030-01-01T00:00:00Z", joined by spaces.', type="string"),
)
_OF_A_LIST: Final = (
    _parameter("limit", "Most keys in the answer.", type="integer", minimum=1, maximum=5000, default=200),
    _parameter("offset", "How many keys are left out before the first one.", type="integer", minimum=0, default=0),
    *_OF_A_TOTAL,
    _parameter("search", "A part of a name or an alias, after not:, exact:, alias:, name: or escape:.", type="string"),
    _parameter("sort", "Properties to sort by, joined by commas; with a hyphen before it, backwards.", type="string"),
)


@operation(
    router,
    "POST",
    "/keys",
    action="kms.secrets.create",
    failure="Key could not be created",
    body=CreateKey,
    body_media=KEY,
    answer=Keys,
    status=201,
    media=KEY,
    refusals=(404, 409, 413),
)
async def create_key(desk: AtDesk) -> Answer:
    """Create a key.

    A root key (extractable: false) wraps and never leaves; a standard key (extractable: true) is kept and can be read.
    Without a payload the key manager makes the key material.
    """
    body = await desk.body(CreateKey)
    return _created(desk, await desk.act(creation.create, body.wanted()))


@operation(
    router,
    "POST",
    "/keys_with_policy_overrides",
    action="kms.secrets-with-policy-overrides.create",
    failure="Key could not be created",
    body=CreateKeyWithOverrides,
    body_media=KEY,
    answer=Keys,
    status=201,
    media=KEY,
    refusals=(404, 409, 413),
)
async def create_key_with_policies_overrides(desk: AtDesk) -> Answer:
    """Create a key with policies of its own.

    They take the place of all policies of the instance.
    """
    body = await desk.body(CreateKeyWithOverrides)
    return _created(desk, await desk.act(creation.create_with_overrides, body.wanted()))


@operation(
    router,
    "GET",
    "/keys",
    action="kms.secrets.list",
    failure="Keys could not be listed",
    answer=KeyList,
    query=_OF_A_LIST,
    refusals=(404,),
)
async def get_keys(desk: AtDesk) -> Answer:
    """List keys.

    Never with a payload. Keys over which the caller has a grant of their own alone are left out.
    """
    query = lookup.Query.parse(desk.request.query_params)
    act = desk.act if query.limit <= LIMIT else desk.act_at_length
    return await act(_listed, desk.premises, query)


@operation(
    router,
    "HEAD",
    "/keys",
    action="kms.secrets.head",
    failure="Keys could not be counted",
    query=_OF_A_TOTAL,
    headers={"Key-Total": "How many keys there are."},
    refusals=(404,),
)
async def get_key_collection_metadata(desk: AtDesk) -> Answer:
    """Count keys."""
    total = await desk.act(lookup.total, lookup.Query.parse(desk.request.query_params))
    return Answer(headers={"key-total": str(total)})


@operation(
    router,
    "GET",
    "/keys/{id}",
    action="kms.secrets.read",
    failure="Key could not be retrieved",
    answer=Keys,
    refusals=(404,),
)
async def get_key(desk: AtDesk, id: str) -> Answer:
    """Retrieve a key.

    A standard key that is not deleted comes with its payload.
    """
    key, payload = await desk.act(lookup.read, id)
    return Answer(collection("key", [shapes.whole_key(desk.premises, key, payload)]))


@operation(
    router,
    "GET",
    "/keys/{id}/metadata",
    action="kms.secrets-metadata.read",
    failure="Key metadata could not be retrieved",
    answer=Keys,
    refusals=(404,),
)
async def get_key_metadata(desk: AtDesk, id: str) -> Answer:
    """Retrieve a key without its payload."""
    return _whole(desk, await desk.act(lookup.metadata, id))


@operation(
    router,
    "GET",
    "/keys/{id}/versions",
    action="kms.secrets-key-versions.list",
    failure="Key versions could not be listed",
    answer=KeyVersions,
    refusals=(404, 409),
)
async def get_key_versions(
    desk: AtDesk,
    id: str,
    page: Annotated[Paging, paging()],
    all_states: Annotated[bool, Query(alias="allKeyStates", description="Also of a key that is not active.")] = False,
) -> Answer:
    """List the versions of a root key, newest first."""
    found, total = await desk.act(lookup.versions, id, page.limit, page.offset, all_states=all_states)
    return Answer(collection("key.version", [shapes.version(each) for each in found], total=page.told(total)))


@operation(
    router,
    "PATCH",
    "/keys/{id}",
    action="kms.secrets.patch",
    failure="Key could not be updated",
    body=Patch,
    body_media=KEY,
    answer=Keys,
    refusals=(404, 409, 410, 413),
)
async def patch_key(desk: AtDesk, id: str) -> Answer:
    """Move a key to another key ring."""
    body = await desk.body(Patch)
    return _whole(desk, await desk.act(lifecycle.move, id, body.key_ring_id))


def _created(desk: Desk, key: Key) -> Answer:
    if desk.minimal:
        told = shapes.minimal_key(key)
    elif desk.representation:
        told = shapes.whole_key(desk.premises, key)
    else:
        told = shapes.new_key(desk.premises, key)
    return Answer(collection("key", [told]), 201, KEY)


def _whole(desk: Desk, key: Key) -> Answer:
    return Answer(collection("key", [shapes.whole_key(desk.premises, key)]))


def _listed(house: House, call: Call, premises: Premises, query: lookup.Query) -> Answer:
    """A page, written in this thread: it may be 30 MB of JSON, and KMIP would wait for whoever writes them."""
    page = lookup.page(house, call, query)
    also: dict[str, Any] = {"collectionTotal": len(page.keys)}
    if page.searched is not None:
        also["searchQuery"] = _search(page.searched)
    if page.incomplete:
        also["incompleteSearch"] = True
    told = (shapes.whole_key(premises, key) for key in page.keys)
    return Answer(encoded_one_by_one(collection("key", [], also=also), told))


def _search(searched: Searched) -> dict[str, Any]:
    told: dict[str, Any] = {"query": searched.query, "scopes": list(searched.scopes)}
    if searched.inverted:
        told["not"] = True
    if searched.exact:
        told["exact"] = True
    return told
