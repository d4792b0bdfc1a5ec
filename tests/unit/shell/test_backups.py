"""A backup is one whole file, shows when it was changed, and is verified part by part; old ones go, in their turn."""

import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite import copying
from keyrack.ports.cluster import BACKUP
from keyrack.service.office.administration import Administrator
from keyrack.shell.backups import archive, making, manifest, restoring, verifying
from keyrack.shell.backups.acts import create_in
from keyrack.shell.backups.making import Order
from keyrack.shell.backups.manifest import BadBackup
from keyrack.shell.config.whole import Config, load
from keyrack.shell.office import open_office
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.process import _model

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")

ME = Administrator("local-user-test")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A deployment with an instance."""
    model, _ = _model("prod")
    deployment = model.copied(tmp_path / "d", {})
    return Order(config=load(deployment.configuration, {}), file=deployment.configuration)


@pytest.fixture
def made(order: Order) -> making.Made:
    """A backup of it; made outside of the loop, as in a thread."""
    return making.make(order)


def secret_bytes(config: Config) -> list[bytes]:
    """What lies in clear in files that no backup may have: private keys, and the file that opens the keystore."""
    return [path.read_bytes() for path in making.secrets_of(config) if path.exists()]


async def test_it_holds_what_brings_the_deployment_back_and_no_secret_in_clear(order: Order, made: making.Made) -> None:
    assert made.path.stat().st_mode & 0o777 == 0o600
    names = {each.name for each in made.manifest.parts}
    assert {"catalog.db", "keyrack.toml", "key_managers/embedded/keystore", "key_managers/embedded/database"} <= names
    assert (made.manifest.instances, made.manifest.deployment) == (1, order.config.deployment.id)
    secrets = secret_bytes(order.config)
    assert len(secrets) >= 3
    with zipfile.ZipFile(made.path) as file:
        for name in file.namelist():
            content = file.read(name)
            assert not any(secret.strip() in content for secret in secrets)
    found = await verifying.verify(made.path)
    assert (found.flaws, found.records > 0) == ([], True)


async def test_it_is_made_while_another_process_writes(order: Order) -> None:
    """Without a snapshot the copy would begin anew at each commit; what is committed meanwhile is not in it."""
    catalog = order.config.catalog_path
    assert catalog is not None
    pages: list[int] = []
    writing = sqlite3.connect(catalog, isolation_level=None)

    def meddle(done: int, total: int) -> None:
        pages.append(done)
        if len(pages) < 50:
            writing.execute("INSERT INTO sink (name, number, checkpoint, at, trouble, since) VALUES (?, 0, 0, 0, '', 0)"
                            , (f"sink {len(pages)}",))  # fmt: skip

    target = catalog.with_name("copy.db")
    step, copying.STEP = copying.STEP, 5  # type: ignore[misc]
    try:
        copying.copy(catalog, target, meddle)
    finally:
        copying.STEP = step  # type: ignore[misc]
        writing.close()

    assert len(pages) < 50
    assert pages == sorted(pages)
    copied = sqlite3.connect(target)
    assert copied.execute("SELECT count(*) FROM sink").fetchone() == (0,)
    copied.close()
    assert copying.flaws_of(target) == []


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


async def test_every_flipped_bit_is_found(made: making.Made, tmp_path: Path) -> None:
    size = made.path.stat().st_size
    for place in range(0, size, max(1, size // 60)):
        spoilt = tmp_path / "spoilt.backup"
        shutil.copy(made.path, spoilt)
        flip(spoilt, place)
        try:
            found = await verifying.verify(spoilt)
        except BadBackup:
            continue
        # A few bytes of the container mean nothing: dates of entries, their modes. What it gives is what was written.
        with archive.opened(spoilt) as reading:
            whole = reading.flaws() == []
        assert found.flaws or whole


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("keys", 5, "tells of 5 keys"), ("journal_end", 10**6, "was cut off"), ("checkpoint", 7, "checkpoint 7")],
)
async def test_a_manifest_that_lies_is_found(
    made: making.Made, tmp_path: Path, field: str, value: int, told: str
) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != manifest.NAME:
            return content
        said = json.loads(content)
        said[field] = value
        if field == "journal_end":
            said["heads"] = [[chain, sequence + 5, digest] for chain, sequence, digest in said["heads"]]
        return json.dumps(said).encode()

    lying = rewritten(made.path, tmp_path / "lying.backup", change)

    found = await verifying.verify(lying)

    assert any(told in flaw for flaw in found.flaws)


async def test_records_that_were_changed_are_found(made: making.Made, tmp_path: Path) -> None:
    """Whoever edits the database in it and all digests as well still has not the journal's chains."""

    def change(name: str, content: bytes) -> bytes:
        if name == manifest.CATALOG:
            path = tmp_path / "edited.db"
            path.write_bytes(content)
            edited = sqlite3.connect(path)
            guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'journal'"
            for (guard,) in edited.execute(guards).fetchall():
                edited.execute(f"DROP TRIGGER {guard}")
            edited.execute("UPDATE journal SET text = replace(text, 'success', 'failure') WHERE number = 1")
            edited.commit()
            edited.close()
            return path.read_bytes()
        return content

    edited = rewritten(made.path, tmp_path / "edited.backup", change)
    digest = sha256((tmp_path / "edited.db").read_bytes()).hexdigest()

    def signed(name: str, content: bytes) -> bytes:
        if name != manifest.NAME:
            return content
        said = json.loads(content)
        for part in said["parts"]:
            part["sha256"] = digest if part["name"] == manifest.CATALOG else part["sha256"]
        return json.dumps(said).encode()

    found = await verifying.verify(rewritten(edited, tmp_path / "signed.backup", signed))

    assert any("journal" in flaw for flaw in found.flaws)


def test_old_ones_go_and_others_stay(order: Order) -> None:
    order = replace(order, keep=2)
    directory = order.config.path(order.config.backup.directory)
    directory.mkdir()
    (directory / "keyrack-other-20260101T000000Z.backup").write_text("another deployment's")
    (directory / f".x.backup.{2**22 + 1}.part").write_text("left by a process that was killed")
    (directory / f".y.backup.{os.getpid()}.part").write_text("of one that lives")

    paths = [making.make(order).path for _ in range(4)]

    assert [path.exists() for path in paths] == [False, False, True, True]
    assert sorted(path.name for path in archive.those_of(directory) if "other" in path.name) != []
    assert [path.name[:2] for path in directory.glob(".*.part")] == [".y"]


def test_a_backup_never_takes_the_place_of_another(order: Order, tmp_path: Path) -> None:
    out = tmp_path / "mine.backup"
    making.make(replace(order, out=out))
    before = out.read_bytes()

    with pytest.raises(FileExistsError):
        making.make(replace(order, out=out))

    assert out.read_bytes() == before


def test_what_fails_leaves_nothing_behind(order: Order, tmp_path: Path) -> None:
    out = tmp_path / "there"
    catalog = order.config.catalog_path
    assert catalog is not None
    catalog.write_bytes(b"not a database" * 1000)

    with pytest.raises((sqlite3.Error, BadBackup)):
        making.make(replace(order, out=out))

    assert list(tmp_path.glob("there*")) + list(tmp_path.glob(".*")) == []


async def test_it_is_written_down_how_it_went(order: Order, tmp_path: Path) -> None:
    async with open_office(order.config, ME) as office:
        made = await create_in(office.catalog, order, ME)
        good = (await office.catalog.reports())[BACKUP]
        with pytest.raises(OSError, match="exists"):
            await create_in(office.catalog, replace(order, out=made.path), ME)
        bad = (await office.catalog.reports())[BACKUP]

    assert (good.good, good.told) == (True, str(made.path))
    assert (bad.good, "it was not made" in bad.told) == (False, True)


async def test_a_restored_catalog_is_rolled_back_before_it_has_its_name(order: Order, made: making.Made) -> None:
    """Wherever a restore is broken off, no catalog of before lies at the name and takes changes."""
    seen: list[bool] = []
    put = restoring._put_in_place

    def put_in_place(fresh: Path, target: Path) -> list[Path]:
        found = sqlite3.connect(fresh)
        seen.append(found.execute("SELECT rollback_at FROM generation").fetchone()[0] is not None)
        found.close()
        return put(fresh, target)

    restoring._put_in_place = put_in_place
    try:
        done = await restoring.restore(order.config, made.path, ME)
    finally:
        restoring._put_in_place = put

    assert seen == [True]
    assert done.aside
    assert all(path.exists() for path in done.aside)


async def test_a_backup_of_another_deployment_is_refused(order: Order, made: making.Made, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != manifest.NAME:
            return content
        return json.dumps(json.loads(content) | {"deployment": "other"}).encode()

    other = rewritten(made.path, tmp_path / "other.backup", change)

    with pytest.raises(BadBackup, match="other"):
        await restoring.restore(order.config, other, ME)


async def test_a_part_that_says_it_belongs_elsewhere_is_refused(
    order: Order, made: making.Made, tmp_path: Path
) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != manifest.NAME:
            return content
        said = json.loads(content)
        said["parts"][-1]["path"] = "../../evil"
        return json.dumps(said).encode()

    evil = rewritten(made.path, tmp_path / "evil.backup", change)

    with pytest.raises(BadBackup, match="outside"):
        await restoring.restore(order.config, evil, ME)
    assert not (tmp_path / "evil").exists()


def test_who_has_the_catalog_open_keeps_it_from_being_replaced(order: Order) -> None:
    catalog = order.config.catalog_path
    assert catalog is not None
    child = os.fork()
    if not child:
        held = sqlite3.connect(catalog)
        held.execute("SELECT count(*) FROM journal").fetchone()
        (catalog.parent / "held").touch()
        while not (catalog.parent / "over").exists():
            pass
        os._exit(0)
    try:
        while not (catalog.parent / "held").exists():
            pass
        assert copying.is_open(catalog)
        with pytest.raises(BadBackup, match="open"):
            restoring.refuse_served(order.config)
    finally:
        (catalog.parent / "over").touch()
        os.waitpid(child, 0)
    assert not copying.is_open(catalog)
