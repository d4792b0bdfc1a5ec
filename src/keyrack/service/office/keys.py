"""Keys for administrators: listed, found by the beginning of their identifiers, and told of; never their material."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain import lifecycle
from keyrack.domain.instances import Hierarchy, Instance
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.ports.catalog import CERTIFICATE_ID, Catalog
from keyrack.ports.key_affairs import KeyBook, KeyFilter, KeyOrder, KeyPage, KeyRow, WrongCursor
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import KeyCatalog
from keyrack.service.office.impact import Impact, impact_of_rows
from keyrack.service.office.refusals import NotThere, Refused, Unusable
from keyrack.service.vault.blob import Blob, Malformed, parse
from keyrack.spec.enumerations import State

SHORTEST: Final = 4
"""Characters of an identifier's beginning that may mean a key."""
DATES: Final = (
    "Initial Date",
    "Activation Date",
    "Process Start Date",
    "Protect Stop Date",
    "Deactivation Date",
    "Compromise Occurrence Date",
    "Compromise Date",
    "Destroy Date",
    "Last Change Date",
)
"""The attributes that tell a life cycle, in the order in which it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long what is destroyed can be taken back, in seconds."""

    destroyed: int = 30 * 86_400
    """After them it is purged by the server itself."""
    purge: int = 4 * 3600
    """Before them nobody can purge it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """What a wrapped key says of itself; nothing of it is opened."""

    key_manager: str
    root_key: str
    root_key_version: str
    wrapping_key: str | None = None
    """Identifier of the instance's wrapping key, where that one stands between root key and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTold:
    """Everything that there is to tell of a key. Its state is the one that its dates make now."""

    row: KeyRow
    managed: ManagedObject
    wrapped: Wrapped | None
    """``None`` where it has no material any more, or never had."""
    let_in_by: str
    """Who added the client certificate that made it; empty where nobody knows, or no client did."""
    purge_at: int | None
    """When the server will purge it, in seconds since 1970; ``None`` for what is not destroyed, or purged already."""

    @property
    def is_purged(self) -> bool:
        """Whether it was destroyed for good."""
        return self.managed.state in DESTROYED_STATES and self.managed.sealed is None

    @property
    def life(self) -> Mapping[str, int]:
        """The dates of its life cycle that are known, in seconds since 1970."""
        found = {name: self.managed.value(name) for name in DATES}
        return {name: at for name, at in found.items() if at is not None}


async def page(
    administration: Administration,
    book: KeyBook,
    instance: Instance,
    wanted: KeyFilter,
    *,
    order: KeyOrder = KeyOrder.CREATED,
    descending: bool = False,
    cursor: str | None = None,
    limit: int = 100,
) -> KeyPage:
    """One page of the instance's keys; fetches are those of this moment. Raises ``Refused``, ``CatalogUnavailable``."""
    administration.require(Right.KEY_READ, instance.identifier)
    await book.catch_up()
    try:
        return await book.key_page(
            instance.identifier,
            wanted,
            administration.now,
            order=order,
            descending=descending,
            cursor=cursor,
            limit=limit,
        )
    except WrongCursor as error:
        raise Unusable(f"the cursor cannot be used: {error}; begin the listing anew", field="cursor") from None


async def count(administration: Administration, book: KeyBook, instance: Instance, wanted: KeyFilter) -> int:
    """How many keys all pages of such a listing have."""
    administration.require(Right.KEY_READ, instance.identifier)
    return await book.count_keys(instance.identifier, wanted, administration.now)


async def count_by_state(administration: Administration, book: KeyBook, instance: Instance) -> Mapping[State, int]:
    """How many keys of the instance are in which state now."""
    administration.require(Right.KEY_READ, instance.identifier)
    return await book.count_by_state(instance.identifier, administration.now)


async def at_stake(
    administration: Administration, book: KeyBook, instance: Instance, prefixes: Sequence[str]
) -> tuple[Sequence[KeyRow], Impact]:
    """The keys that an act would be about, and what hangs on them: looked at before anything is asked for."""
    administration.require(Right.KEY_READ, instance.identifier)
    await book.catch_up()
    rows = await found(administration, book, instance, prefixes)
    return rows, impact_of_rows(instance, rows, administration.now)


async def found(
    administration: Administration, book: KeyBook, instance: Instance, prefixes: Sequence[str]
) -> Sequence[KeyRow]:
    """The keys that these identifiers, or beginnings of them, mean: each once, in the order in which they are named.

    Raises ``NotThere`` for the first that means none, and ``Refused`` for one that means several.
    """
    rows: dict[str, KeyRow] = {}
    for prefix in prefixes:
        row = await _one(administration, book, instance, prefix.lower())
        rows[row.managed.unique_identifier] = row
    return list(rows.values())


async def _one(administration: Administration, book: KeyBook, instance: Instance, prefix: str) -> KeyRow:
    exact = await book.key_rows(instance.identifier, [prefix])
    if exact:
        return exact[0]
    meant: Sequence[KeyRow] = ()
    if len(prefix) >= SHORTEST:
        wanted = KeyFilter(prefix=prefix)
        meant = (await book.key_page(instance.identifier, wanted, administration.now, limit=2)).rows
    if len(meant) == 1:
        return meant[0]
    see = f"see 'keyrack key list {instance.name}'"
    if meant:
        raise Refused(f"several keys of {instance.name!r} begin with {prefix!r}; give more of it, {see}")
    raise NotThere(f"no key of {instance.name!r} begins with {prefix!r}; {see}")


async def tell(
    administration: Administration, catalog: KeyCatalog, instance: Instance, prefix: str, windows: Windows
) -> KeyTold:
    """One key, whole."""
    administration.require(Right.KEY_READ, instance.identifier)
    await catalog.catch_up()
    (row,) = await found(administration, catalog, instance, [prefix])
    managed = lifecycle.tick(row.managed, administration.now)
    by = row.created_by
    return KeyTold(
        row=row,
        managed=managed,
        wrapped=await _wrapped(catalog, instance, managed),
        let_in_by=await catalog.admitted_by(instance.identifier, by.removeprefix(CERTIFICATE_ID))
        if by.startswith(CERTIFICATE_ID)
        else "",
        purge_at=purge_at(managed, windows),
    )


def destroyed_at(managed: ManagedObject) -> int | None:
    """When it was destroyed, in seconds since 1970; ``None`` for what is not."""
    if managed.state not in DESTROYED_STATES:
        return None
    at: int | None = managed.value("Destroy Date")
    return at if at is not None else managed.value("Last Change Date")


def purge_at(managed: ManagedObject, windows: Windows) -> int | None:
    """When the server purges it by itself; ``None`` where there is nothing to purge."""
    at = destroyed_at(managed)
    return None if at is None or managed.sealed is None else at + windows.destroyed


async def _wrapped(catalog: Catalog, instance: Instance, managed: ManagedObject) -> Wrapped | None:
    blob = _parsed(managed.sealed)
    if blob is None:
        return None
    header = blob.header
    if not header.two_level:
        return Wrapped(key_manager=header.provider, root_key=header.root_key, root_key_version=blob.wrapped_by)
    wrapping_key = (
        await catalog.wrapping_key(instance.identifier) if instance.hierarchy is Hierarchy.TWO_LEVEL else None
    )
    above = _parsed(wrapping_key.sealed) if wrapping_key is not None else None
    return Wrapped(
        key_manager=above.header.provider if above else header.provider,
        root_key=above.header.root_key if above else "",
        root_key_version=above.wrapped_by if above else "",
        wrapping_key=header.root_key,
    )


def _parsed(sealed: bytes | None) -> Blob | None:
    try:
        return parse(sealed) if sealed is not None else None
    except Malformed:
        return None  # A verification tells what is wrong with it.


def key_manager_of(instance: Instance, managed: ManagedObject) -> str:
    """The key manager that has the object's standard key: while its instance moves there are two that may."""
    blob = _parsed(managed.sealed)
    homes = [instance.home] if instance.former is None else [instance.home, instance.former]
    told = blob.header.provider if blob is not None else ""
    return next((home.key_manager for home in homes if home.key_manager == told), instance.key_manager)
