"""Rewrapping: after a rotation of the root key, the keys that an older version wraps are wrapped by the newest one.

An older version goes on unwrapping, so nothing waits for this. Of an instance of two levels the wrapping key alone is
rewrapped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance, Storage
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager, KeyManagerUnavailable
from keyrack.service.moves.successors import Change, Ground, Successors
from keyrack.service.moves.walk import Outcome, Report, silently, things, walk
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.vault.blob import Blob
from keyrack.service.vault.envelope import Sealed, Vault

RATE: Final = 10.0
"""Keys in a second that are rewrapped in the background: the key manager has others to serve."""
KEEPER: Final = Administrator("keyrack")
"""Who rewraps in the background, as the journal names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What a rewrap would do."""

    version: str
    """The newest version of the root key."""
    keys: int
    """Keys that an older version wraps."""
    stored: int
    """Those of them that have a standard key: each gets another, which is billed as a key of its own."""
    total: int
    """Keys that the instance has, the wrapping key among them."""
    failures: Sequence[tuple[str, str]] = ()
    """Unique Identifiers of those whose wrapped key is not as it should be, each with why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapped:
    """What a rewrap has come to."""

    version: str
    outcome: Outcome
    leftovers: int
    """Standard keys of the instance that are still to be deleted."""

    def __str__(self) -> str:
        done = f"{self.outcome.changed} of {self.outcome.done} wrapped anew by version {self.version}"
        return f"{done}, {len(self.outcome.failures)} failed, {self.leftovers} old standard keys to delete"


async def behind(ground: Ground, instance: Instance) -> Behind:
    """What there is to rewrap; nothing is changed. Raises the key manager's two failures."""
    version = await newest(ground.key_managers, instance)
    keys = stored = total = 0
    failures = []
    async for thing in things(ground.catalog, instance):
        total += 1
        try:
            if is_behind(ground.vault, instance, thing, version):
                keys += 1
                stored += thing.standard_key is not None
        except KmipError as error:
            failures.append((thing.unique_identifier, str(error)))
    return Behind(version=version, keys=keys, stored=stored, total=total, failures=failures)


async def rewrap(
    ground: Ground, instance: Instance, *, rate: float | None = None, report: Report = silently
) -> Rewrapped:
    """Rewrap what is behind, at most ``rate`` keys in a second, and delete the standard keys that were replaced.

    It may be broken off anywhere and begun again, beside serving processes and beside itself. Raises the key manager's
    two failures where it does not tell of the root key, and ``successors.Overtaken``.
    """
    vault = ground.vault
    version = await newest(ground.key_managers, instance)

    def due(thing: Sealed) -> bool:
        return is_behind(vault, successors.instance, thing, version)

    def fits(instance: Instance, blob: Blob) -> bool:
        told = (blob.header.two_level, blob.header.provider, blob.header.root_key, blob.wrapped_by)
        return told == (False, instance.key_manager, instance.root_key, version)

    change = Change(
        action="key.rewrap",
        why="rewrapped",
        make=vault.rewrap,
        fits=fits,
        stored=instance.storage is Storage.KEY_MANAGER,
        detail={"root_key": instance.root_key, "version": version},
    )
    successors = Successors(ground, instance, change)
    await successors.look()
    outcome = await walk(ground.catalog, instance, successors.succeed, due=due, report=report, rate=rate)
    return Rewrapped(version=version, outcome=outcome, leftovers=await successors.delete_leftovers())


async def rewrap_instance(
    catalog: Catalog,
    vault: Vault,
    instance: Instance,
    key_managers: Mapping[str, KeyManager],
    *,
    rate: float = RATE,
    report: Report = silently,
    clock: Callable[[], int] | None = None,
) -> Rewrapped:
    """:func:`rewrap` in the background, in the name of Keyrack itself; ``clock`` answers milliseconds since 1970."""
    clock = clock or _now
    administration = Administration(catalog, key_managers, KEEPER, clock)
    ground = Ground(catalog=catalog, vault=vault, key_managers=key_managers, administration=administration, clock=clock)
    return await rewrap(ground, instance, rate=rate, report=report)


async def newest(key_managers: Mapping[str, KeyManager], instance: Instance) -> str:
    """The version of the instance's root key that wraps now. Raises the key manager's two failures."""
    manager = key_managers.get(instance.key_manager)
    if manager is None:
        raise KeyManagerUnavailable(f"the key manager {instance.key_manager!r} is not configured")
    version = (await manager.describe_root_key(instance.root_key)).version
    if not version:
        raise KeyManagerUnavailable(f"the key manager {instance.key_manager!r} does not tell the root key's version")
    return version


def is_behind(vault: Vault, instance: Instance, thing: Sealed, version: str) -> bool:
    """Whether another version than this one has wrapped it. What is still to move to the instance's home is not:
    moving wraps it anew. Raises ``CryptographicFailure`` for a wrapped key that is not as it should be."""
    return vault.home_of(instance, thing) == instance.home and vault.wrapped_by(instance, thing) not in {None, version}


def _now() -> int:
    return time.time_ns() // 1_000_000
