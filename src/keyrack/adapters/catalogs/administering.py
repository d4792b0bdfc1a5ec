"""Instances and certificates in the database: rows and values, and what a unit of an administrator does with them."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.adapters.catalogs.remembering import check_wrapping_keys, put_wrapping_keys
from keyrack.domain.instances import (
    ClientCertificate,
    Credential,
    Hierarchy,
    Home,
    Instance,
    InstanceStatus,
    Quotas,
    Storage,
)
from keyrack.ports.catalog import (
    AlreadyThere,
    Conflict,
    InstanceChanged,
    LastWayIn,
    StillHangs,
    StillUsed,
    TooMany,
    Unit,
)


async def check_administration(execute: Execute, unit: Unit) -> None:
    """Raise :class:`Conflict`, or a kind of it, where the database as it is now does not allow the unit.

    Raises :class:`AlreadyThere` for a second wrapping key of an instance, and for a name that another instance has.
    """
    await _check_names(execute, unit)
    await _check_bare(execute, unit)
    await _check_reachable(execute, unit)
    await _check_counts(execute, unit)
    for identifier in (*unit.unused, *unit.removed_instances):
        if first(await execute(queries.HAS_INSTANCE, (identifier,))) is None:
            raise Conflict("an instance is not there any more")
        if first(await execute(queries.USED, (identifier, identifier))) is not None:
            raise StillUsed("an instance still has objects that are not destroyed")
    await check_wrapping_keys(execute, unit)


async def _check_names(execute: Execute, unit: Unit) -> None:
    for name in unit.new_instance_names:
        bearers = {each.identifier for each in unit.instances if each.name == name}
        if any(identifier not in bearers for (identifier,) in await execute(queries.OTHER_OF_NAME, (name,))):
            raise AlreadyThere("another instance has this name")


async def _check_bare(execute: Execute, unit: Unit) -> None:
    for identifier in unit.bare:
        if first(await execute(queries.HAS_INSTANCE, (identifier,))) is None:
            raise Conflict("an instance is not there any more")
        if first(await execute(queries.HANGS, (identifier,) * queries.HANGS.count("?"))) is not None:
            raise StillHangs("something hangs on the instance")


async def _check_reachable(execute: Execute, unit: Unit) -> None:
    authorities = unit.admissions.removed_authorities if unit.admissions else ()
    for identifier in unit.reachable:
        gone = {*unit.removed_certificates, *(each for instance, each in authorities if instance == identifier)}
        if all(fingerprint in gone for (fingerprint,) in await execute(queries.WAYS_IN, (identifier, identifier))):
            raise LastWayIn("nobody would reach the instance any more")


async def _check_counts(execute: Execute, unit: Unit) -> None:
    if unit.most_instances is not None:
        for instance in unit.instances:
            (others,) = first(await execute(queries.OTHER_INSTANCES, (instance.key_manager, instance.identifier)))
            if others >= unit.most_instances:
                raise TooMany(f"a key manager has {others} instances already")
    if unit.most_certificates is not None:
        for identifier, added in Counter(each.instance for each in unit.certificates).items():
            (held,) = first(await execute(queries.COUNT_CERTIFICATES, (identifier,)))
            if held + added > unit.most_certificates:
                raise TooMany(f"an instance has {held} certificates already")


async def check_seen(execute: Execute, instances: Sequence[Instance]) -> None:
    """Raise :class:`InstanceChanged` where one of them is gone, or has become another."""
    for seen in instances:
        row = first(await execute(queries.ONE_INSTANCE, (seen.identifier,)))
        if row is None or not instance_of(row).is_as(seen):
            raise InstanceChanged("an instance was changed meanwhile")


async def administer(execute: Execute, unit: Unit) -> None:
    """Write what the unit changes of instances and certificates."""
    for instance in unit.instances:
        await execute(queries.PUT_INSTANCE, instance_columns(instance))
    await put_wrapping_keys(execute, unit)
    for fingerprint in unit.removed_certificates:
        await execute(queries.REMOVE_CERTIFICATE, (fingerprint,))
    for certificate in unit.certificates:
        await execute(queries.ADD_CERTIFICATE, certificate_columns(certificate))
        await execute(queries.ADMIT, (certificate.instance, certificate.fingerprint, certificate.added_by))
    for touch in unit.touched:
        await execute(queries.TOUCH, (touch.at, touch.by, touch.instance))
    for identifier in unit.removed_instances:
        if identifier not in unit.bare:
            await execute(queries.REMOVE_LEFTOVERS, (identifier,))
        for statement in queries.REMOVE_INSTANCE:
            await execute(statement, (identifier,))


def instance_columns(instance: Instance) -> tuple[Any, ...]:
    """In the order of ``queries.INSTANCES``."""
    return (
        instance.identifier,
        instance.name,
        instance.description,
        str(instance.status),
        instance.key_manager,
        instance.root_key,
        str(instance.storage),
        instance.created_at,
        instance.created_by,
        instance.updated_at,
        instance.updated_by,
        str(instance.hierarchy),
        instance.sealed_at,
        instance.former.key_manager if instance.former else None,
        instance.former.root_key if instance.former else None,
        instance.reason,
        instance.quotas.keys,
        instance.quotas.certificates,
        instance.quotas.requests,
        _credential_text(instance.credential),
        instance.dual_control_at,
    )


def _credential_text(credential: Credential | None) -> str | None:
    if credential is None:
        return None
    return json.dumps(
        {"username": credential.username, "password": credential.password, "required": credential.required}
    )


_USUAL: Final = Quotas()


def instance_of(row: tuple[Any, ...]) -> Instance:
    """The instance of a row of ``queries.INSTANCES``."""
    identifier, name, description, status, key_manager, root_key, storage, *history = row
    created_at, created_by, updated_at, updated_by, hierarchy, sealed_at, former_manager, former_key, *rules = history
    reason, keys, certificates, requests, credential, dual_control_at = rules
    usual = (keys, certificates, requests) == (_USUAL.keys, _USUAL.certificates, _USUAL.requests)
    return Instance(
        identifier=identifier,
        name=name,
        description=description,
        status=InstanceStatus(status),
        key_manager=key_manager,
        root_key=root_key,
        storage=Storage(storage),
        created_at=created_at,
        created_by=created_by,
        updated_at=updated_at,
        updated_by=updated_by,
        hierarchy=Hierarchy(hierarchy),
        sealed_at=sealed_at,
        former=Home(former_manager, former_key) if former_manager is not None else None,
        reason=reason,
        quotas=_USUAL if usual else Quotas(keys=keys, certificates=certificates, requests=requests),
        credential=Credential(**json.loads(credential)) if credential is not None else None,
        dual_control_at=dual_control_at,
    )


def certificate_columns(certificate: ClientCertificate) -> tuple[Any, ...]:
    """In the order of ``queries.CERTIFICATES``."""
    return (
        certificate.fingerprint,
        certificate.instance,
        certificate.name,
        certificate.subject,
        certificate.not_before,
        certificate.not_after,
        certificate.der,
        certificate.added_at,
        certificate.added_by,
    )


def certificate_of(row: tuple[Any, ...]) -> ClientCertificate:
    """The certificate of a row of ``queries.CERTIFICATES``."""
    fingerprint, instance, name, subject, not_before, not_after, der, added_at, added_by = row
    return ClientCertificate(
        fingerprint=fingerprint,
        instance=instance,
        name=name,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        der=der,
        added_at=added_at,
        added_by=added_by,
    )
