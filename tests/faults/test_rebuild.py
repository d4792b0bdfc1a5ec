"""Either copy alone is enough: a catalog from the key manager's, the key manager's from a catalog; and in which time.

In the long form ten thousand keys, in process and over HTTPS with the adapter for IBM Key Protect. Each KEK is compared
with the one that was made, byte for byte (by its SHA-256, which the test alone keeps).
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.domain.instances import Hierarchy, Instance
from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.ports.key_manager import KeyManager
from keyrack.service.vault.lease import Terms
from keyrack.testing.ibm_grounds import IbmFace, ibm_face
from keyrack.testing.key_houses import INSTANCE
from keyrack.testing.ruins import Site

AT_ONCE = 16


@pytest.fixture
def face(tmp_path: Path) -> Iterator[IbmFace]:
    """A key manager that speaks IBM's API."""
    directory = tmp_path / "face"
    directory.mkdir()
    with ibm_face(directory) as found:
        yield found


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[KeyManager]:
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    manager = EmbeddedKeyManager.create(directory / "keystore", unlock)
    yield manager
    await manager.close()


@asynccontextmanager
async def at_ibm(kind: type[KeyProtect], face: IbmFace) -> AsyncIterator[KeyManager]:
    settings = Settings(
        name="kp",
        url=face.address.url,
        instance=INSTANCE,
        iam=IamSettings(source=ApiKey(face.api_key), url=face.address.url),
        ca_bundle=face.address.authority,
    )
    # All is in one process here, client and key manager: neither has a processor of its own.
    adapter = kind(replace(settings, answer_seconds=30, write_seconds=30))
    yield adapter
    await adapter.close()


async def made(site: Site, instance: Instance, count: int) -> dict[str, bytes]:
    """Keys, made as a client makes them; SHA-256 of each by its identifier."""
    for begin in range(0, count, AT_ONCE):
        await asyncio.gather(*(site.client().made() for _ in range(min(AT_ONCE, count - begin))))
    return await digests(site, instance)


async def digests(site: Site, instance: Instance) -> dict[str, bytes]:
    """What a client would get, of every key of the instance."""
    found: dict[str, bytes] = {}
    after = ""
    while page := await site.catalog.objects(instance.identifier, after, AT_ONCE):
        secrets: Sequence[Secret] = await asyncio.gather(*(site.vault.open(instance, each) for each in page))
        found |= {
            each.unique_identifier: hashlib.sha256(secret.reveal()).digest()
            for each, secret in zip(page, secrets, strict=True)
        }
        after = page[-1].unique_identifier
    return found


def site_in(path: Path, manager: KeyManager) -> Site:
    # One process does all of it, at its limit: nothing here is about how long a client waits.
    return Site.of(
        {"embedded": manager}, catalog=SqliteCatalog(path), terms={"embedded": Terms(opening=60, sealing=60)}
    )


async def there_and_back(directory: Path, manager: KeyManager, count: int, hierarchy: Hierarchy) -> None:
    site = site_in(directory / "catalog.db", manager)
    instance = await site.instance(hierarchy=hierarchy, root_key=await a_root_key(manager))
    before = await made(site, instance, count)
    assert len(before) == count

    # The catalog is lost.
    await site.catalog.close()
    again = site_in(directory / "rebuilt.db", manager)
    began = time.monotonic()
    rebuilt = await again.rebuild()
    seconds = time.monotonic() - began
    assert (rebuilt.keys, rebuilt.failures, rebuilt.strangers) == (count, [], [])
    found = await again.administration.instance(instance.identifier)
    assert await digests(again, found) == before
    print(f"rebuilt {count} keys from the key manager alone in {seconds:.1f} s")  # noqa: T201 - pytest shows it

    # The standard keys are lost.
    wiped = [key.identifier async for key in manager.list_standard_keys("vmware_kmip_")]
    for begin in range(0, len(wiped), AT_ONCE):
        await asyncio.gather(*(manager.delete_standard_key(each) for each in wiped[begin : begin + AT_ONCE]))
    assert [key async for key in manager.list_standard_keys("vmware_kmip_")] == []
    began = time.monotonic()
    due, outcome = await again.restore(found)
    seconds = time.monotonic() - began
    assert (len(due), outcome.changed, outcome.failures) == (len(wiped), len(wiped), ())
    print(f"put {len(wiped)} standard keys again from the catalog alone in {seconds:.1f} s")  # noqa: T201

    began = time.monotonic()
    verified = await again.verify()
    assert (verified.well, verified.agree) == (True, len(wiped))
    print(f"verified {len(wiped)} keys in {time.monotonic() - began:.1f} s")  # noqa: T201
    again.vault.purge()
    assert await digests(again, found) == before
    await again.catalog.close()


async def a_root_key(manager: KeyManager) -> str:
    assert isinstance(manager, EmbeddedKeyManager | KeyProtect)
    return (await manager.create_root_key("root")).identifier


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("hierarchy", Hierarchy)
async def test_either_copy_gives_the_other_back_in_process(tmp_path: Path, count: int, hierarchy: Hierarchy) -> None:
    async with embedded(tmp_path) as manager:
        await there_and_back(tmp_path, manager, count, hierarchy)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_either_copy_gives_the_other_back_over_https(tmp_path: Path, face: IbmFace, count: int) -> None:
    async with at_ibm(KeyProtect, face) as manager:
        await there_and_back(tmp_path, manager, count, Hierarchy.DIRECT)


@pytest.mark.parametrize("hierarchy", Hierarchy)
async def test_either_copy_gives_the_other_back_where_strings_are_not_relied_upon(
    tmp_path: Path, face: IbmFace, hierarchy: Hierarchy
) -> None:
    async with at_ibm(Hpcs, face) as manager:
        await there_and_back(tmp_path, manager, 40, hierarchy)
