"""``/instances/{instance}/keys``: what an instance holds, and what is done with it; never any material."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Query, Response
from pydantic import Field
from starlette.requests import Request

from keyrack.domain import lifecycle
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.ports.key_affairs import Fetch, KeyFilter, KeyOrder, KeyRow
from keyrack.service.office import key_acts, keys
from keyrack.service.office.impact import label, named_of, state_title
from keyrack.service.office.key_steps import MOST_AT_ONCE
from keyrack.service.office.keys import KeyTold, Windows
from keyrack.service.office.refusals import Unusable
from keyrack.shell.office import windows_of
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.etags import etag_of
from keyrack.shell.rest.v1.models import Body, InstanceName, Instant, Resource, Zoned, instant
from keyrack.shell.rest.v1.pages import Listing, Paging, bad_cursor
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.routing import noun
from keyrack.spec.enumerations import ObjectType, RevocationReasonCode, State

router = noun("keys")

KeyName = Annotated[
    str,
    Path(alias="key", min_length=4, max_length=64, description="Unique Identifier of the key, or the beginning of it."),
]
StateName = Literal["Pre-Active", "Active", "Deactivated", "Compromised", "Destroyed", "Destroyed Compromised"]
TypeName = Literal[
    "Certificate",
    "Symmetric Key",
    "Public Key",
    "Private Key",
    "Split Key",
    "Template",
    "Secret Data",
    "Opaque Object",
    "PGP Key",
]
OrderName = Literal["created", "last-fetch", "name"]
Part = Annotated[str, Query(max_length=200)]
_STATES: Final[Mapping[str, State]] = {state.title: state for state in State}
_TYPES: Final[Mapping[str, ObjectType]] = {kind.title: kind for kind in ObjectType}
_REASONS: Final[Mapping[str, RevocationReasonCode]] = {code.title: code for code in RevocationReasonCode}


class LastFetch(Resource):
    """Who was given a key last, as the journal tells."""

    at: Instant
    by: str
    address: str
    count: Annotated[int, Field(description="How often it was handed out in all.")]


class KeyListed(Resource):
    """A key in a list."""

    unique_identifier: str
    object_type: str
    state: Annotated[StateName | None, Field(description="Null for what has no State.")]
    name: Annotated[str | None, Field(description="What vCenter called its machine or host; else its Name.")]
    component: str | None
    identifier: Annotated[str | None, Field(description="vCenter's identifier of the machine or host.")]
    created_at: Instant | None
    last_fetch: LastFetch | None
    withheld_since: Annotated[Instant | None, Field(description="Since when its standard key is gone.")]
    purged: Annotated[bool, Field(description="Destroyed for good.")]


class WrappedUnder(Resource):
    """What wraps a key."""

    key_manager: str
    root_key: str
    root_key_version: str
    wrapping_key: str | None


class KeyShown(KeyListed):
    """A key, whole; never its material."""

    vendor: str | None
    product: str | None
    product_version: str | None
    life: Annotated[Mapping[str, Instant], Field(description="The dates of its life cycle, by KMIP's names.")]
    made_by: str | None
    let_in_by: Annotated[str | None, Field(description="Who let in the client that made it.")]
    changed_by: str | None
    destroyed_by: str | None
    wrapped_under: WrappedUnder | None
    standard_key: str | None
    purge_at: Annotated[Instant | None, Field(description="When the server purges it by itself.")]


class KeyAct(Body):
    """An act on a key."""

    why: Annotated[str, Field(max_length=key_acts.LONGEST_WHY, description="For the journal.")] = ""
    confirmation: Annotated[
        str | None, Field(max_length=200, description="The words that `confirmation-needed` has asked for.")
    ] = None


class KeyDeactivation(KeyAct):
    """Takes a key out of use."""

    reason: Literal[
        "Unspecified", "Affiliation Changed", "Superseded", "Cessation of Operation", "Privilege Withdrawn"
    ] = "Cessation of Operation"


class KeyCompromise(KeyAct):
    """Marks a key as compromised."""

    reason: Literal["Key Compromise", "CA Compromise"] = "Key Compromise"
    occurred_at: Annotated[Zoned | None, Field(description="Since when, if that is known.")] = None


class KeysAct(KeyAct):
    """An act on several keys, all or none."""

    act: Literal["activate", "deactivate", "compromise", "restore", "destroy", "recover", "purge"]
    keys: Annotated[
        list[Annotated[str, Field(min_length=4, max_length=64)]], Field(min_length=1, max_length=MOST_AT_ONCE)
    ]


class KeysChanged(Resource):
    """The keys of an act, as they are then."""

    items: Sequence[KeyListed]


def _windows(request: Request) -> Windows:
    premises: Premises = request.app.state.premises
    return windows_of(premises.config) if premises.config is not None else Windows()


ConfiguredWindows = Annotated[Windows, Depends(_windows)]


def _wanted(  # noqa: PLR0917 - the query parameters of the list
    state: Annotated[list[StateName] | None, Query(description="Only in these states.")] = None,
    object_type: Annotated[TypeName | None, Query()] = None,
    prefix: Annotated[str, Query(max_length=64, description="What the Unique Identifier begins with.")] = "",
    named: Annotated[Part, Query(description="Part of what vCenter called it or its machine, in any case.")] = "",
    component: Annotated[Part, Query(description="Part of vCenter's component, as `ESXi Server`.")] = "",
    created_since: Zoned | None = None,
    created_before: Zoned | None = None,
    fetched_since: Zoned | None = None,
    not_fetched_since: Annotated[Zoned | None, Query(description="Last fetched before this time, or never.")] = None,
    never_fetched: bool = False,
    withheld: bool = False,
    unlabelled: Annotated[bool, Query(description="Only keys that vCenter did not label: perhaps orphans.")] = False,
    recoverable: Annotated[bool, Query(description="Only destroyed ones that can be recovered.")] = False,
) -> KeyFilter:
    return KeyFilter(
        states=frozenset(_STATES[each] for each in state or ()),
        object_type=_TYPES[object_type] if object_type else None,
        prefix=prefix.lower(),
        named=named,
        component=component,
        created_since=_seconds(created_since),
        created_before=_seconds(created_before),
        fetched_since=_seconds(fetched_since),
        not_fetched_since=_seconds(not_fetched_since),
        never_fetched=never_fetched,
        withheld=withheld,
        unlabelled=unlabelled,
        recoverable=recoverable,
    )


@router.get("/instances/{instance}/keys")
async def list_keys(  # noqa: PLR0917
    caller: Caller,
    instance: InstanceName,
    page: Paging,
    wanted: Annotated[KeyFilter, Depends(_wanted)],
    sort: OrderName = "created",
    descending: bool = False,
) -> Listing[KeyListed]:
    """List the keys of an instance, filtered and sorted."""
    owner = await caller.administration.instance(instance)
    if not isinstance(page.after, str | None):
        raise bad_cursor()
    try:
        found = await keys.page(
            caller.administration,
            caller.catalog,
            owner,
            wanted,
            order=KeyOrder(sort),
            descending=descending,
            cursor=page.after,
            limit=page.limit,
        )
    except Unusable:
        raise bad_cursor() from None
    following = page.cursor(found.next) if found.next is not None else None
    return Listing(items=[_listed(row, caller.now) for row in found.rows], next=following)


@router.get("/instances/{instance}/keys/{key}")
async def show_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, response: Response
) -> KeyShown:
    """Show one key: its life, its machine, its last fetch, and what wraps it."""
    owner = await caller.administration.instance(instance)
    told = await keys.tell(caller.administration, caller.catalog, owner, key, windows)
    response.headers["etag"] = etag_of((told.managed.unique_identifier, told.managed.version))
    return _shown(told, caller.now)


@router.post("/instances/{instance}/keys/{key}/activate")
async def activate_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyAct | None = None
) -> KeyListed:
    """Activate a Pre-Active key."""
    return await _one(caller, instance, "activate", key, windows, body or KeyAct())


@router.post("/instances/{instance}/keys/{key}/deactivate")
async def deactivate_key(
    caller: Caller,
    instance: InstanceName,
    key: KeyName,
    windows: ConfiguredWindows,
    body: KeyDeactivation | None = None,
) -> KeyListed:
    """Deactivate an Active key; restoring takes it back."""
    return await _one(caller, instance, "deactivate", key, windows, body or KeyDeactivation())


@router.post("/instances/{instance}/keys/{key}/compromise")
async def mark_key_compromised(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyCompromise | None = None
) -> KeyListed:
    """Mark a key as compromised; nothing takes that back."""
    return await _one(caller, instance, "compromise", key, windows, body or KeyCompromise())


@router.post("/instances/{instance}/keys/{key}/restore")
async def restore_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyAct | None = None
) -> KeyListed:
    """Restore a Deactivated key to Active."""
    return await _one(caller, instance, "restore", key, windows, body or KeyAct())


@router.post("/instances/{instance}/keys/{key}/destroy")
async def destroy_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyAct | None = None
) -> KeyListed:
    """Destroy a key: no client gets it any more; until it is purged it can be recovered."""
    return await _one(caller, instance, "destroy", key, windows, body or KeyAct())


@router.post("/instances/{instance}/keys/{key}/recover")
async def recover_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyAct | None = None
) -> KeyListed:
    """Recover a destroyed key that is not purged."""
    return await _one(caller, instance, "recover", key, windows, body or KeyAct())


@router.post("/instances/{instance}/keys/{key}/purge")
async def purge_key(
    caller: Caller, instance: InstanceName, key: KeyName, windows: ConfiguredWindows, body: KeyAct | None = None
) -> KeyListed:
    """Purge a destroyed key now, for good."""
    return await _one(caller, instance, "purge", key, windows, body or KeyAct())


@router.post("/instances/{instance}/key-acts")
async def act_on_keys(caller: Caller, instance: InstanceName, body: KeysAct, windows: ConfiguredWindows) -> KeysChanged:
    """Do one act on several keys, all or none, with one confirmation."""
    rows = await _done(caller, instance, body.act, body.keys, windows, body)
    return KeysChanged(items=[_listed(row, caller.now) for row in rows])


async def _one(  # noqa: PLR0917 - an act, whole
    caller: Visit, instance: str, act: str, key: str, windows: Windows, body: KeyAct
) -> KeyListed:
    (row,) = await _done(caller, instance, act, [key], windows, body)
    return _listed(row, caller.now)


_ACTS: Final[Mapping[str, Callable[..., Awaitable[Sequence[KeyRow]]]]] = {
    "activate": key_acts.activate,
    "deactivate": key_acts.deactivate,
    "compromise": key_acts.compromise,
    "restore": key_acts.restore,
    "destroy": key_acts.destroy,
    "recover": key_acts.recover,
    "purge": key_acts.purge,
}


async def _done(  # noqa: PLR0917 - an act, whole
    caller: Visit, instance: str, act: str, meant: Sequence[str], windows: Windows, body: KeyAct
) -> Sequence[KeyRow]:
    owner: Instance = await caller.administration.instance(instance)
    more: dict[str, Any] = {}
    if act != "activate":
        more["why"] = body.why
    if act in {"deactivate", "compromise", "destroy", "purge"}:
        more["confirmation"] = body.confirmation
    if act in {"destroy", "purge"}:
        more["windows"] = windows
    if isinstance(body, KeyDeactivation | KeyCompromise):
        more["reason"] = _REASONS[body.reason]
    if isinstance(body, KeyCompromise):
        more["occurred_at"] = _seconds(body.occurred_at)
    return await _ACTS[act](caller.administration, caller.catalog, owner, meant, **more)


def _seconds(at: Zoned | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _listed(row: KeyRow, now: int) -> KeyListed:
    return KeyListed(**_fields(row, lifecycle.tick(row.managed, now), now))


def _fields(row: KeyRow, managed: ManagedObject, now: int) -> dict[str, Any]:
    named = named_of(row, now)
    return {
        "unique_identifier": named.unique_identifier,
        "object_type": managed.object_type.title,
        "state": state_title(managed),
        "name": named.name,
        "component": named.component,
        "identifier": named.identifier,
        "created_at": instant(named.created_at),
        "last_fetch": _fetched(row.fetch),
        "withheld_since": instant(managed.withheld_at),
        "purged": managed.state in DESTROYED_STATES and managed.sealed is None,
    }


def _fetched(fetch: Fetch | None) -> LastFetch | None:
    if fetch is None:
        return None
    return LastFetch(at=instant(fetch.at // 1000) or "", by=fetch.initiator, address=fetch.address, count=fetch.count)


def _shown(told: KeyTold, now: int) -> KeyShown:
    managed, wrapped = told.managed, told.wrapped
    return KeyShown(
        **_fields(told.row, managed, now),
        vendor=label(managed, "x-Vendor"),
        product=label(managed, "x-Product"),
        product_version=label(managed, "x-Product_Version"),
        life={name: instant(at) or "" for name, at in told.life.items()},
        made_by=told.row.created_by or None,
        let_in_by=told.let_in_by or None,
        changed_by=told.row.changed_by or None,
        destroyed_by=told.row.destroyed_by or None,
        wrapped_under=None
        if wrapped is None
        else WrappedUnder(
            key_manager=wrapped.key_manager,
            root_key=wrapped.root_key,
            root_key_version=wrapped.root_key_version,
            wrapping_key=wrapped.wrapping_key,
        ),
        standard_key=managed.standard_key,
        purge_at=instant(told.purge_at),
    )
