"""Wrapping keys, leftovers and validations in the database: rows and values, and what a unit does with them."""

from typing import Any

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.domain.instances import WrappingKey
from keyrack.ports.catalog import AlreadyThere, Conflict, Leftover, Unit, Validation


async def check_wrapping_keys(execute: Execute, unit: Unit) -> None:
    """Raise :class:`AlreadyThere` for a second wrapping key of an instance, :class:`Conflict` for a change of another
    version than the stored one."""
    for key in unit.wrapping_keys:
        row = first(await execute(queries.WRAPPING_KEY, (key.instance,)))
        held = wrapping_key_of(row) if row else None
        if key.version == 1:
            if held is not None:
                raise AlreadyThere("the instance has a wrapping key already")
        elif held is None or (held.unique_identifier, held.version) != (key.unique_identifier, key.version - 1):
            raise Conflict("the wrapping key was changed meanwhile")


async def put_wrapping_keys(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check_wrapping_keys` has allowed."""
    for key in unit.wrapping_keys:
        statement = queries.ADD_WRAPPING_KEY if key.version == 1 else queries.CHANGE_WRAPPING_KEY
        columns = (key.created_at, key.sealed, key.standard_key, key.withheld_at, key.version)
        await execute(statement, (*columns, key.unique_identifier, key.instance))


async def remember(execute: Execute, unit: Unit) -> None:
    """Write leftovers and validations; they are checked against nothing."""
    for leftover in unit.leftovers:
        await execute(queries.ADD_LEFTOVER, leftover_columns(leftover))
    for leftover in unit.cleared:
        await execute(queries.CLEAR_LEFTOVER, (leftover.key_manager, leftover.standard_key))
    for validation in unit.validations:
        await execute(queries.PUT_VALIDATION, (*validation_columns(validation), validation.instance))


def wrapping_key_of(row: tuple[Any, ...]) -> WrappingKey:
    """The wrapping key of a row of ``queries.WRAPPING_KEY``."""
    created_at, sealed, standard_key, withheld_at, version, identifier, instance = row
    return WrappingKey(
        unique_identifier=identifier,
        instance=instance,
        created_at=created_at,
        sealed=sealed,
        standard_key=standard_key,
        withheld_at=withheld_at,
        version=version,
    )


def leftover_columns(leftover: Leftover) -> tuple[Any, ...]:
    """In the order of ``queries.LEFTOVERS``."""
    return (
        leftover.key_manager,
        leftover.standard_key,
        leftover.instance,
        leftover.unique_identifier,
        leftover.why,
        leftover.at,
    )


def leftover_of(row: tuple[Any, ...]) -> Leftover:
    """The leftover of a row of ``queries.LEFTOVERS``."""
    key_manager, standard_key, instance, unique_identifier, why, at = row
    return Leftover(
        key_manager=key_manager,
        standard_key=standard_key,
        instance=instance,
        unique_identifier=unique_identifier,
        why=why,
        at=at,
    )


def validation_columns(validation: Validation) -> tuple[Any, ...]:
    """In the order of ``queries.VALIDATIONS``."""
    return (
        validation.instance,
        validation.at,
        validation.since,
        str(validation.reason),
        validation.told,
        validation.root_key_state,
        validation.root_key_version,
        validation.behind,
        validation.synced_at,
        validation.withheld,
        validation.strangers,
    )


def validation_of(row: tuple[Any, ...]) -> Validation:
    """The validation of a row of ``queries.VALIDATIONS``."""
    instance, at, since, reason, told, state, version, behind, synced_at, withheld, strangers = row
    return Validation(
        instance=instance,
        at=at,
        since=since,
        reason=reason,
        told=told,
        root_key_state=state,
        root_key_version=version,
        behind=behind,
        synced_at=synced_at,
        withheld=withheld,
        strangers=strangers,
    )
