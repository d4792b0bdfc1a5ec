"""What an act may stop: the machines and hosts that vCenter has named on keys, and who fetched which key last.

Every act that can stop a machine shows this first and has its words typed, see :func:`confirm`; whatever room it is of.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyrack.domain import lifecycle
from keyrack.domain.instances import Instance
from keyrack.domain.lifecycle import DESTROYED_STATES, STATELESS
from keyrack.domain.moments import rfc3339
from keyrack.domain.objects import ManagedObject
from keyrack.ports.key_affairs import KeyBook, KeyFilter, KeyRow
from keyrack.service.office.refusals import ConfirmationNeeded, Unusable
from keyrack.spec.enumerations import State

LATELY: Final = 400 * 86_400
"""Seconds: a key that was handed out within them may be in use, whatever else is known of it."""
MOST_SHOWN: Final = 200
"""Keys that are told one by one: those that were fetched last."""
MACHINE: Final = "Virtual Machine"
HOST: Final = "ESXi Server"
"""What vCenter writes in ``x-Component``; other values are kept as they are."""
UNSEEN: Final = (
    "Not to be seen from here: templates, backups, replicas and machines that are not registered may need these keys"
    " too; a running host keeps what it has until it restarts."
)
_PAGE: Final = 500
_LIVING: Final = frozenset(State) - DESTROYED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One key, as a person knows it."""

    unique_identifier: str
    state: str | None
    """``None`` for what has no State."""
    name: str | None
    component: str | None
    identifier: str | None
    created_at: int | None
    """Times are seconds since 1970."""
    fetched_at: int | None = None
    fetched_by: str | None = None
    fetched_from: str | None = None
    fetches: int = 0

    def as_json(self) -> Mapping[str, Any]:
        """The same for programs."""
        return {
            "unique_identifier": self.unique_identifier,
            "state": self.state,
            "name": self.name,
            "component": self.component,
            "identifier": self.identifier,
            "created_at": moment(self.created_at),
            "last_fetch": None
            if self.fetched_at is None
            else {
                "at": moment(self.fetched_at),
                "by": self.fetched_by,
                "address": self.fetched_from,
                "count": self.fetches,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What may stop."""

    instance: str
    """Its name."""
    keys: Sequence[Named]
    """At most :data:`MOST_SHOWN`, those first that were fetched last."""
    total: int
    components: Mapping[str, int]
    """How many keys vCenter has named so: :data:`MACHINE`, :data:`HOST` and others."""
    unnamed: int
    """How many it has not named."""
    fetched_lately: int
    """How many were fetched within :data:`LATELY`."""

    def as_json(self) -> Mapping[str, Any]:
        """The same for programs."""
        return {
            "instance": self.instance,
            "keys": [each.as_json() for each in self.keys],
            "total": self.total,
            "virtual_machines": self.components.get(MACHINE, 0),
            "hosts": self.components.get(HOST, 0),
            "others": sum(n for name, n in self.components.items() if name not in {MACHINE, HOST}),
            "unnamed": self.unnamed,
            "fetched_within_400_days": self.fetched_lately,
            "unseen": UNSEEN,
        }


async def impact_of(book: KeyBook, instance: Instance, now: int, identifiers: Sequence[str] | None = None) -> Impact:
    """What hangs on these keys of the instance, or on all that are not destroyed; ``now`` is seconds since 1970.

    Raises ``CatalogUnavailable``.
    """
    await book.catch_up()
    if identifiers is not None:
        return impact_of_rows(instance, await book.key_rows(instance.identifier, identifiers), now)
    named: list[Named] = []  # Not the rows: they hold wrapped keys, and there may be a great many.
    cursor: str | None = None
    wanted = KeyFilter(states=_LIVING)
    while True:
        page = await book.key_page(instance.identifier, wanted, now, cursor=cursor, limit=_PAGE)
        named += [named_of(row, now) for row in page.rows]
        if (cursor := page.next) is None:
            return _impact(instance, named, now)


def impact_of_rows(instance: Instance, rows: Iterable[KeyRow], now: int) -> Impact:
    """The same of keys that were read already."""
    return _impact(instance, [named_of(row, now) for row in rows], now)


def _impact(instance: Instance, named: Sequence[Named], now: int) -> Impact:
    components = Counter(each.component or "" for each in named if each.component or each.name)
    return Impact(
        instance=instance.name,
        keys=heapq.nlargest(MOST_SHOWN, named, key=lambda each: each.fetched_at or 0),
        total=len(named),
        components=components,
        unnamed=len(named) - components.total(),
        fetched_lately=sum(fetched_lately(each.fetched_at, now) for each in named),
    )


def fetched_lately(at: int | None, now: int) -> bool:
    """Whether a fetch, in seconds since 1970, is so recent that the key may be in use."""
    return at is not None and at > now - LATELY


def named_of(row: KeyRow, now: int) -> Named:
    """A key as a person knows it."""
    managed, fetch = lifecycle.tick(row.managed, now), row.fetch
    return Named(
        unique_identifier=managed.unique_identifier,
        state=state_title(managed),
        name=label(managed, "x-Name") or _name(managed),
        component=label(managed, "x-Component"),
        identifier=label(managed, "x-Identifier"),
        created_at=managed.value("Initial Date"),
        fetched_at=fetch.at // 1000 if fetch else None,
        fetched_by=fetch.initiator if fetch else None,
        fetched_from=fetch.address if fetch else None,
        fetches=fetch.count if fetch else 0,
    )


def state_title(managed: ManagedObject) -> str | None:
    """The State's title; ``None`` for an Opaque Object or a Template, unless it is destroyed."""
    if managed.object_type in STATELESS and managed.state not in DESTROYED_STATES:
        return None
    return managed.state.title


def label(managed: ManagedObject, name: str) -> str | None:
    """The text of a custom attribute; ``None`` where there is none."""
    value = managed.value(name)
    return str(getattr(value, "value", value)) if value is not None else None


def _name(managed: ManagedObject) -> str | None:
    value = managed.value("Name")
    return str(value.name_value) if value is not None else None


def words_of(impact: Impact) -> str:
    """What is to be typed for an act on these keys: the machine's name, else the identifier's beginning, or how many.

    A name that cannot be typed is none.
    """
    if impact.total != 1:
        return f"{impact.total} keys"
    (key,) = impact.keys
    typed = key.name.strip() if key.name else ""
    return typed if typed and typed.isprintable() and len(typed) <= 100 else key.unique_identifier[:8]


def confirm_for(impact: Impact, instance: Instance, told: str, given: str | None, **more: int) -> None:
    """As :func:`confirm`, for an act on a whole instance: the words are its name. ``more``: what else hangs on it."""
    if given is None:
        raise ConfirmationNeeded(told, instance.name, {**impact.as_json(), **more})
    if given.strip() != instance.name:
        raise Unusable(
            f"the confirmation is not the instance's name, {instance.name!r}; nothing was changed", field="confirmation"
        )


def confirm(impact: Impact, told: str, words: str, given: str | None) -> None:
    """Return where ``given`` are the words; raise :class:`ConfirmationNeeded` where nothing is given, and
    ``Unusable`` where something else is. ``told`` says what is about to be done."""
    if given is None:
        raise ConfirmationNeeded(told, words, impact.as_json())
    if given.strip() != words:
        raise Unusable(f"the confirmation is not {words!r}; nothing was changed", field="confirmation")


def moment(seconds: int | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if seconds is None else rfc3339(seconds)
