"""A key manager tried out through its port, step by step: for those that have no check of their own."""

import time
import uuid
from collections.abc import AsyncIterator

from keyrack.domain.secret import Secret, randomize
from keyrack.ports.key_manager import (
    Checked,
    KeyManager,
    KeyManagerFailed,
    KeyManagerRefused,
    Reason,
    RootKey,
    RootKeyAdministration,
    Verdict,
    Wrapped,
)

PREFIX = "keyrack-check-"
"""What the names of standard keys begin with that are made to be deleted; no key of an instance is called so."""
_ACTIVE = 1
_STRINGS, _OTHERS = ("keyrack", "check"), ("keyrack", "another")


async def trial(manager: KeyManager, root_key: str | None, *, write: bool) -> AsyncIterator[Checked]:
    """Describe, wrap, unwrap and bind with one root key, or the first active one; with ``write`` a standard key too.

    It raises nothing that the key manager says.
    """
    found, told = await _root_key(manager, root_key)
    yield told
    if found is not None:
        wrapped, told = await _wrap_and_unwrap(manager, found)
        yield told
        if wrapped is not None:
            yield await _binding(manager, found, wrapped)
    yield await _standard_key(manager) if write else _skipped("standard keys", "nothing was to be written")


async def _root_key(manager: KeyManager, wanted: str | None) -> tuple[RootKey | None, Checked]:
    what = "root key"
    try:
        if wanted is not None:
            found: RootKey | None = await manager.describe_root_key(wanted)
        elif isinstance(manager, RootKeyAdministration):
            found = next((each for each in await manager.list_root_keys() if each.state == _ACTIVE), None)
        else:
            return None, _skipped(what, "name one with --root-key")
    except KeyManagerFailed as error:
        return None, _failed(what, error)
    if found is None:
        return None, _skipped(what, "none is active yet: make one with 'keyrack root-key create NAME'")
    named = f"{found.name} ({found.identifier})"
    if found.state != _ACTIVE:
        told = f"{named} is not active but in state {found.state}; enable or restore it, or use another"
        return None, Checked(what, Verdict.FAILED, told)
    return found, Checked(what, Verdict.WELL, f"{named} is active")


async def _wrap_and_unwrap(manager: KeyManager, root_key: RootKey) -> tuple[Wrapped | None, Checked]:
    what, material = "wrap and unwrap", bytearray(32)
    randomize(material)
    began = time.monotonic()
    with Secret(material) as plaintext:
        try:
            wrapped = await manager.wrap(root_key.identifier, plaintext, _STRINGS)
            unwrapped = await manager.unwrap(root_key.identifier, wrapped.ciphertext, _STRINGS)
        except KeyManagerFailed as error:
            return None, _failed(what, error)
        with unwrapped.plaintext:
            same = unwrapped.plaintext.matches(plaintext)
    if not same:
        return None, Checked(what, Verdict.FAILED, "what is unwrapped is not what was wrapped: use no key of it")
    return wrapped, Checked(what, Verdict.WELL, f"in {1000 * (time.monotonic() - began):.1f} ms, both together")


async def _binding(manager: KeyManager, root_key: RootKey, wrapped: Wrapped) -> Checked:
    what = "binding"
    try:
        unwrapped = await manager.unwrap(root_key.identifier, wrapped.ciphertext, _OTHERS)
    except KeyManagerRefused as error:
        if error.reason is not Reason.CIPHERTEXT:
            return _failed(what, error)
        return Checked(what, Verdict.WELL, "a ciphertext opens under its own strings alone")
    except KeyManagerFailed as error:
        return _failed(what, error)
    unwrapped.plaintext.wipe()
    told = "a ciphertext opens under other strings too: the hash inside each wrapped key is its only binding"
    return Checked(what, Verdict.REMARK, told)


async def _standard_key(manager: KeyManager) -> Checked:
    what, name, payload = "standard keys", f"{PREFIX}{uuid.uuid4()}", uuid.uuid4().bytes
    try:
        identifier = await manager.put_standard_key(name, payload)
    except KeyManagerFailed as error:
        return _failed(what, error)
    try:
        kept = await manager.get_standard_key(identifier)
        named = [each.identifier for each in await manager.find_standard_keys(name)]
        await manager.delete_standard_key(identifier)
    except KeyManagerFailed as error:
        return Checked(
            what, Verdict.FAILED, f"{error}; the standard key {name} ({identifier}) is left: delete it there"
        )
    if kept.payload != payload or named != [identifier]:
        return Checked(what, Verdict.FAILED, "what is read is not what was kept")
    return Checked(what, Verdict.WELL, "one was made, found, read, compared and deleted")


def _failed(what: str, error: KeyManagerFailed) -> Checked:
    return Checked(what, Verdict.FAILED, str(error))


def _skipped(what: str, why: str) -> Checked:
    return Checked(what, Verdict.SKIPPED, why)
