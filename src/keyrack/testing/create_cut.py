"""A Create whose key becomes a standard key, to be cut anywhere on its way, and the judge of what is left.

Acknowledged means: the client was told the Unique Identifier. Whatever happened, an acknowledged key is in the catalog
once and in the key manager once, both copies agree and open. One that was not acknowledged is so too, or is not in the
catalog at all; then the key manager has one copy of it at most, and the existence sync counts it as a stranger.
"""

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.errors import KmipError
from keyrack.domain.instances import ClientCertificate, Hierarchy, Instance, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.key_manager import KeyManager, StandardKey
from keyrack.service.batch import Desk
from keyrack.service.care.existence import Existence, Synced
from keyrack.service.care.reconcile import SETTLED, Outcome, reconcile
from keyrack.service.identity import Peer
from keyrack.service.office.founding import wrapping_key_for
from keyrack.service.vault.envelope import Vault
from keyrack.service.vault.standard_keys import PREFIX, name_of, unique_identifier_of
from keyrack.spec.enumerations import ResultStatus
from keyrack.testing.conversation import create
from keyrack.testing.house import frame_of, read_items

INSTANCE: Final = "instance-a"
MANAGER: Final = "kp"
"""The key manager, as the instance calls it."""
PEER: Final = Peer(fingerprint=hashlib.sha256(b"a client").hexdigest(), address="127.0.0.1:1", tls="TLSv1.3")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A Create that somebody has sent."""

    mark: str
    """Its Object Group, which no other has."""
    uid: str | None = None
    """What was acknowledged; ``None``: nothing was."""
    told: str = ""
    """Why it was refused, if anybody was told."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is there after all."""

    problems: Sequence[str]
    """A sentence for each broken promise."""
    rows: int
    """Keys in the catalog."""
    orphans: Sequence[str]
    """Names of standard keys that no object has."""
    doubles: Sequence[str]
    """Names of standard keys beside the one that their object knows."""
    strangers: int | None
    """How many of both the existence sync lists."""
    outcome: Outcome
    """What the reconciler has done."""

    def __str__(self) -> str:
        return (
            f"{self.rows} keys, {len(self.orphans)} orphans, {len(self.doubles)} doubles,"
            f" {self.strangers} of both listed; reconciled: {self.outcome}"
        )


async def prepare(
    catalog: Catalog,
    root_key: str,
    *,
    storage: Storage = Storage.KEY_MANAGER,
    wrapped_by: KeyManager | None = None,
) -> Instance:
    """Enter the instance and its client; with ``wrapped_by`` it has two levels, and a wrapping key made there."""
    instance = Instance(
        identifier=INSTANCE,
        name=INSTANCE,
        status=InstanceStatus.INSTALLED,
        key_manager=MANAGER,
        root_key=root_key,
        storage=storage,
        created_at=1,
        hierarchy=Hierarchy.TWO_LEVEL if wrapped_by else Hierarchy.DIRECT,
    )
    certificate = ClientCertificate(
        fingerprint=PEER.fingerprint,
        instance=INSTANCE,
        subject="CN=client",
        not_before=0,
        not_after=2**33,
        der=b"client",
        added_at=1,
    )
    made = await wrapping_key_for(vault_over(wrapped_by), instance) if wrapped_by else None
    entry = Entry(at=0, action="instance.create", outcome="success", initiator="local-user-test", address="local")
    await catalog.commit(
        Unit(
            entries=(entry,),
            instances=(instance,),
            certificates=(certificate,),
            wrapping_keys=(made,) if made else (),
        )
    )
    return instance


def vault_over(manager: KeyManager, catalog: Catalog | None = None) -> Vault:
    """A vault that remembers nothing yet; it needs the catalog for the wrapping key of an instance of two levels."""
    root = Secret(bytearray(b"integrity root" * 3))
    if catalog is None:
        return Vault({MANAGER: manager}, root, "deployment")
    return Vault({MANAGER: manager}, root, "deployment", wrapping_keys=catalog.wrapping_key)


async def attempt(catalog: Catalog, manager: KeyManager, mark: str) -> Attempt:
    """Send a Create through a desk; raises what the desk raises."""
    vault = vault_over(manager)
    try:
        answer = await Desk(catalog, vault).answer(frame_of([create({"Object Group": mark})]), PEER)
    finally:
        vault.close()
    assert answer is not None
    (item,) = read_items(bytes(answer))
    if item.result_status != ResultStatus.SUCCESS or item.response_payload is None:
        return Attempt(mark, told=item.result_message or "")
    return Attempt(mark, str(item.response_payload.unique_identifier))


async def judge(path: Path, manager: KeyManager, truth: EmbeddedKeyManager, attempts: Sequence[Attempt]) -> Judged:
    """Let the reconciler run over the catalog at ``path``, as a minute later, and look at everything.

    ``manager`` is the adapter, by a way that nobody cuts; ``truth`` is the key manager itself.
    """
    async with _opened(path) as catalog:
        vault = vault_over(manager)
        outcome = await reconcile(catalog, vault, now=int(time.time()) + SETTLED + 1)
        problems = [f"an intent is left: {each.unique_identifier}" for each in await catalog.intents()]
        (instance,) = await catalog.instances()
        rows = {each.unique_identifier: each for each in await _rows(catalog)}
        kept = [each async for each in truth.list_standard_keys(PREFIX)]
        problems += _counted(rows, kept, attempts)
        for managed in rows.values():
            problems += await _opens(vault, instance, managed, truth)
        strangers = await _strangers(catalog, manager, vault, instance)
        vault.close()
    known = {each.standard_key for each in rows.values()}
    owned = {each: unique_identifier_of(each.name) in rows for each in kept if each.identifier not in known}
    return Judged(
        problems=problems,
        rows=len(rows),
        orphans=[each.name for each, has_object in owned.items() if not has_object],
        doubles=[each.name for each, has_object in owned.items() if has_object],
        strangers=strangers,
        outcome=outcome,
    )


async def _strangers(catalog: Catalog, manager: KeyManager, vault: Vault, instance: Instance) -> int | None:
    """What the existence sync tells of them: those that two listings in a row have shown."""
    existence = Existence(catalog, {MANAGER: manager}, vault)
    for _ in range(2):
        synced = (await existence.sync([instance]))[INSTANCE]
    return synced.strangers if isinstance(synced, Synced) else None


def _counted(rows: dict[str, ManagedObject], kept: Sequence[StandardKey], attempts: Sequence[Attempt]) -> Iterator[str]:
    """Nothing is lost, and no Create has made two keys."""
    copies = Counter(each.name for each in kept)
    yield from (f"{uid} has no standard key" for uid in rows if not copies[name_of(uid)])
    marks = Counter(str(managed.value("Object Group")) for managed in rows.values())
    yield from (f"{mark} has made {count} keys" for mark, count in marks.items() if count > 1)
    yield from (f"nobody has asked for {mark}" for mark in set(marks) - {each.mark for each in attempts})
    yield from (f"{each.uid} was acknowledged and is lost" for each in attempts if each.uid and each.uid not in rows)
    orphans = sum(unique_identifier_of(each.name) not in rows for each in kept)
    without = sum(each.uid is None and not marks[each.mark] for each in attempts)
    if orphans > without:
        yield f"{orphans} standard keys have no object, after {without} Creates that came to nothing"


async def _opens(vault: Vault, instance: Instance, managed: ManagedObject, truth: EmbeddedKeyManager) -> Sequence[str]:
    """Whether both copies agree, and open."""
    uid = managed.unique_identifier
    if managed.standard_key is None:
        return [f"{uid} does not know its standard key"]
    if (await truth.get_standard_key(managed.standard_key)).payload != managed.sealed:
        return [f"{uid} has another copy in the key manager than in the catalog"]
    try:
        await vault.verify(instance, managed)
    except KmipError as error:
        return [f"{uid} does not open: {error}"]
    return []


async def _rows(catalog: Catalog) -> Sequence[ManagedObject]:
    rows: list[ManagedObject] = []
    while page := await catalog.objects(INSTANCE, rows[-1].unique_identifier if rows else ""):
        rows += page
    return rows


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(path, "judge")
    try:
        yield catalog
    finally:
        await catalog.close()
