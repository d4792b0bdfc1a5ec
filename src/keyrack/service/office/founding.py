"""What an instance needs before it is entered: a root key that was proved, and for two levels a wrapping key."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance, Storage, WrappingKey
from keyrack.ports.catalog import Leftover
from keyrack.ports.key_manager import (
    ChecksItself,
    KeyManager,
    KeyManagerFailed,
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
    RootKey,
    RootKeyAdministration,
    Verdict,
)
from keyrack.service.health import trial
from keyrack.service.office.refusals import Refused
from keyrack.service.vault.envelope import Vault

_ACTIVE = 1
_WAYS: Mapping[Reason, str] = {
    Reason.IDENTITY: "correct who asks in the configuration, or renew the API key or token there",
    Reason.PERMISSION: "grant it the service roles Reader (to wrap and unwrap) and Writer (to keep standard keys), or "
    "correct region and instance: Key Protect refuses all of these alike",
    Reason.NETWORK: "let this machine's address through in the key manager's network policy or context-based "
    "restriction, or use its other network",
    Reason.POLICY: "change the instance policy keyCreateImportAccess there, or take --storage catalog",
    Reason.DELETED: "restore it there, or use another",
    Reason.STATE: "enable it there, or use another",
    Reason.CIPHERTEXT: "use another root key",
}
"""What the customer does, by what the key manager said."""
_STATES: Mapping[int, str] = {0: "Pre-activation", 1: "Active", 2: "Suspended", 3: "Deactivated", 5: "Destroyed"}
"""Key Protect's names of the states."""


async def root_key_for(
    manager_name: str, manager: KeyManager, wanted: str | None, instance: str, storage: Storage
) -> str:
    """The identifier of the root key that is wanted, or of a new one, once it was proved that it wraps and unwraps.

    Raises :class:`Refused` with what the customer changes; ``KeyManagerUnavailable`` where nobody has answered.
    """
    found = await (_made(manager_name, manager, instance) if wanted is None else _found(manager_name, manager, wanted))
    with telling_of(found.identifier if wanted is None else None):
        try:
            await manager.probe(found.identifier)
        except KeyManagerRefused as error:
            told = f"root key {found.identifier!r} of key manager {manager_name!r} does not wrap and unwrap ({error})"
            raise Refused(f"{told}; {_way(error)}") from error
        if storage is Storage.KEY_MANAGER:
            await _refuse_flaws(manager_name, manager, found.identifier)
    return found.identifier


@contextmanager
def telling_of(made: str | None) -> Iterator[None]:
    """Name a root key that was ``made`` for an instance which is refused after all: it is there, and may cost."""
    told = f"the root key {made} that was made for it is there: take it with --root-key the next time, or delete it"
    try:
        yield
    except Refused as error:
        if made is None:
            raise
        raise type(error)(f"{error}; {told}") from error
    except KeyManagerUnavailable as error:
        if made is None:
            raise
        raise KeyManagerUnavailable(f"{error}; {told}", error.reason, code=error.code) from error


async def _made(manager_name: str, manager: KeyManager, instance: str) -> RootKey:
    if not isinstance(manager, RootKeyAdministration):
        raise Refused(f"key manager {manager_name!r} makes no root keys; name one of its own with --root-key")
    try:
        return await manager.create_root_key(f"{instance} root key")
    except KeyManagerRefused as error:
        raise Refused(
            f"key manager {manager_name!r} makes no root key ({error}); name one of its own with --root-key, or "
            f"{_way(error)}"
        ) from error


async def _found(manager_name: str, manager: KeyManager, wanted: str) -> RootKey:
    try:
        found = await manager.describe_root_key(wanted)
    except KeyManagerRefused as error:
        if error.reason is Reason.ABSENT:
            raise Refused(
                f"key manager {manager_name!r} has no root key {wanted!r} ({error}); "
                "'keyrack root-key list' shows what it has"
            ) from None
        raise Refused(
            f"key manager {manager_name!r} refuses to tell of root key {wanted!r} ({error}); {_way(error)}"
        ) from error
    if found.state != _ACTIVE:
        raise Refused(
            f"root key {wanted!r} is not active but in state {found.state}, {_STATES.get(found.state, 'unknown')} "
            "('keyrack root-key list' tells the states); use another"
        )
    return found


async def _refuse_flaws(manager_name: str, manager: KeyManager, root_key: str) -> None:
    """Raise with everything that a key manager finds wrong with itself, where it can be asked for that.

    A policy that forbids standard keys would else be found out by the first client that asks for a key.
    """
    if not isinstance(manager, ChecksItself):
        return
    found = [each async for each in manager.check(root_key, write=False) if each.verdict is Verdict.FAILED]
    if found:
        told = (
            f"key manager {manager_name!r} cannot serve an instance yet: {each.what}: {each.told}" for each in found
        )
        raise Refused("\n".join(told))


async def keeps_standard_keys(manager_name: str, manager: KeyManager, instance: Instance, now: int) -> Leftover:
    """Return if the key manager keeps standard keys for the instance; what answers is the one that it was tried with.

    ``now`` is in seconds since 1970. Raises :class:`Refused` with what the customer changes, and
    ``KeyManagerUnavailable``.
    """
    await _refuse_flaws(manager_name, manager, instance.root_key)
    identity, payload = str(uuid.uuid4()), uuid.uuid4().bytes
    try:
        identifier = await manager.put_standard_key(f"{trial.PREFIX}{identity}", payload)
        kept = (await manager.get_standard_key(identifier)).payload
    except KeyManagerRefused as error:
        told = f"{error} ({error.code})" if error.code and error.code not in str(error) else str(error)
        raise Refused(
            f"key manager {manager_name!r} keeps no standard keys: {told}; {_way(error)}. Nothing was changed"
        ) from error
    if kept != payload:
        raise Refused(f"key manager {manager_name!r} answers other bytes than it was given to keep")
    return Leftover(
        key_manager=manager_name,
        standard_key=identifier,
        instance=instance.identifier,
        unique_identifier=identity,
        why="undone",
        at=now,
    )


def _way(error: KeyManagerFailed) -> str:
    return _WAYS.get(error.reason, "'keyrack key-manager check' finds out why")


async def wrapping_key_for(vault: Vault, instance: Instance) -> WrappingKey:
    """A new wrapping key, kept as a standard key where the instance's storage says so; nobody has entered it yet.

    Raises :class:`Refused`.
    """
    try:
        made = await vault.seal_wrapping_key(instance, str(uuid.uuid4()), instance.created_at)
        return replace(made, standard_key=await vault.store(instance, made.sealed, made.unique_identifier))
    except KmipError as error:
        raise Refused(f"no wrapping key was made for the instance: {error}") from error
