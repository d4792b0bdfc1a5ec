"""Keys on the screen: a row for a list, everything for one, words for numbers. Never their material."""

from typing import TYPE_CHECKING, Any

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.domain.objects import ManagedObject
    from keyrack.ports.key_affairs import KeyRow
    from keyrack.service.office.keys import KeyTold


def row_of(key: "ManagedObject", fetched: int | None) -> dict[str, Any]:
    """What is told of a key; ``fetched`` in seconds since 1970."""
    from keyrack.domain.attribute_words import algorithm_of
    from keyrack.service.office.impact import state_title

    return {
        "unique_identifier": key.unique_identifier,
        "object_type": key.object_type.title,
        "state": state_title(key),
        "algorithm": algorithm_of(key),
        "created_at": screen.instant(key.value("Initial Date")),
        "name": _custom(key, "x-Name") or _name(key),
        "component": _custom(key, "x-Component"),
        "identifier": _custom(key, "x-Identifier"),
        "last_fetch": screen.instant(fetched),
        "standard_key": key.standard_key,
        "withheld_since": screen.instant(key.withheld_at),
    }


def listed(row: "KeyRow", now: int) -> dict[str, Any]:
    """What a list tells of a key; ``now`` in seconds since 1970."""
    from keyrack.domain import lifecycle
    from keyrack.domain.lifecycle import DESTROYED_STATES

    key, fetch = lifecycle.tick(row.managed, now), row.fetch
    return row_of(key, fetch.at // 1000 if fetch else None) | {
        "fetches": fetch.count if fetch else 0,
        "purged": key.state in DESTROYED_STATES and key.sealed is None,
    }


def told(key: "KeyTold", now: int) -> dict[str, Any]:
    """Everything that there is to tell of a key, but its attributes."""
    from keyrack.domain.attribute_words import in_words

    fetch, wrapped = key.row.fetch, key.wrapped
    return listed(key.row, now) | {
        "product": _custom(key.managed, "x-Product"),
        "product_version": _custom(key.managed, "x-Product_Version"),
        "vendor": _custom(key.managed, "x-Vendor"),
        "life": {name: screen.instant(at) for name, at in key.life.items()},
        "made_by": key.row.created_by or None,
        "made_by_a_client_that_was_let_in_by": key.let_in_by or None,
        "changed_by": key.row.changed_by or None,
        "destroyed_by": key.row.destroyed_by or None,
        "last_fetch_by": fetch.initiator if fetch else None,
        "last_fetch_from": fetch.address if fetch else None,
        "wrapped_under": None
        if wrapped is None
        else {
            "key_manager": wrapped.key_manager,
            "root_key": wrapped.root_key,
            "root_key_version": wrapped.root_key_version,
            "wrapping_key": wrapped.wrapping_key,
        },
        "purge_at": screen.instant(key.purge_at),
        "attributes": in_words(key.managed),
    }


def cells(row: dict[str, Any]) -> list[Any]:
    """A row of the table that ``keyrack key list`` prints."""
    more = [word for word, said in (("withheld", row["withheld_since"]), ("purged", row["purged"])) if said]
    return [
        screen.shortened(row["unique_identifier"]),
        ", ".join([row["state"] or "-", *more]),
        row["algorithm"],
        screen.brief(row["created_at"]),
        row["name"],
        row["component"],
        screen.shortened(row["identifier"]),
        screen.brief(row["last_fetch"]),
    ]


def _custom(key: "ManagedObject", name: str) -> str | None:
    value = key.value(name)
    return str(getattr(value, "value", value)) if value is not None else None


def _name(key: "ManagedObject") -> str | None:
    value = key.value("Name")
    return str(value.name_value) if value is not None else None
