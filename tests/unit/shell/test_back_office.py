"""The back office over its real socket, real key managers and a real catalog: who may speak, and what is survived."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.rights import Grant, Role
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.ports.back_office import BackOfficeUnavailable, OnBehalf, WorkerHealth
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.refusals import (
    Forbidden,
    NameTaken,
    NotThere,
    Refused,
    StillHanging,
    Unauthenticated,
    Unusable,
)
from keyrack.service.vault.envelope import Vault
from keyrack.shell.rest.v1.readiness import reasons
from keyrack.shell.web import back_office_server, condition
from keyrack.shell.web.back_office_client import BackOfficeLine
from keyrack.shell.web.back_office_server import back_office
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.desk import BackOfficeDesk
from keyrack.shell.web.line import LONGEST_REQUEST, raise_told, socket_of, told_of
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.rest import Face, open_face

ADMINISTRATOR = Grant(Role.ADMINISTRATOR)


@dataclass(slots=True)
class Serving:
    """A serving process's part, in this one."""

    run: Path
    catalog: WholeCatalog
    desk: BackOfficeDesk
    line: BackOfficeLine
    web: Face
    """With a catalog of its own, as the web process has it."""

    @property
    def socket(self) -> Path:
        return socket_of(self.run, 0)

    def behalf(self, token: str) -> OnBehalf:
        return OnBehalf(token=token, address="192.0.2.7:40000", correlation="c-1")

    async def raw(self, octets: bytes, *, patience: float = 3.0) -> bytes:
        """What comes back when these bytes are said."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(octets)
            async with asyncio.timeout(patience):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    # Deeper than what fits into the name of a socket.
    run = tmp_path / ("d" * 60) / ("e" * 60) / "run"
    run.mkdir(parents=True)
    unlock = KeyFile(tmp_path / "keystore.key")
    unlock.create()
    manager = EmbeddedKeyManager.create(tmp_path / "keystore", unlock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(manager.close)
        web = await stack.enter_async_context(open_face(tmp_path))
        catalog = await catalog_at(tmp_path / "catalog.db", "kmip-0")
        stack.push_async_callback(catalog.close)
        managers = {"embedded": manager}
        vault = Vault(managers, manager.integrity_root(), "d", wrapping_keys=catalog.wrapping_key)
        stack.callback(vault.close)
        desk = BackOfficeDesk(
            catalog=catalog,
            managers=managers,
            types={"embedded": "embedded"},
            condition=WorkerCondition(0, catalog, managers, lambda: True),
            vault=vault,
        )
        await stack.enter_async_context(back_office(run, 0, desk))
        yield Serving(run, catalog, desk, BackOfficeLine(run), web)


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, serving: Serving) -> Serving:
    """The same under a path that everybody may connect to by its name."""
    link = tmp_path_factory.mktemp("s") / "run"
    link.symlink_to(serving.run)
    return replace(serving, run=link)


# What it does -------------------------------------------------------------------------------------------------------


async def test_root_keys_are_listed_live(serving: Serving) -> None:
    assert [(each.name, each.type) for each in await serving.line.key_managers()] == [("embedded", "embedded")]
    assert await serving.line.root_keys("embedded") == []
    made = await serving.desk.managers["embedded"].create_root_key("vmware")  # type: ignore[attr-defined]
    (told,) = await serving.line.root_keys("embedded")
    assert (told.identifier, told.name, told.state) == (made.identifier, "vmware", 1)
    with pytest.raises(NotThere):
        await serving.line.root_keys("nope")


async def test_an_instance_is_made_whole_in_the_name_of_the_person(serving: Serving) -> None:
    mara = await serving.web.person("mara", ADMINISTRATOR)
    wanted = {"name": "prod", "key_manager": "embedded", "hierarchy": "two-level"}
    done = await serving.line.act(serving.behalf(mara), "instance.create", wanted)
    (made,) = await serving.web.catalog.instances()
    assert (made.identifier, made.name, made.created_by) == (done["instance"], "prod", "person-mara")
    (root_key,) = await serving.line.root_keys("embedded")
    assert made.root_key == root_key.identifier
    entries = [json.loads(each.text) for each in await serving.catalog.journal()]
    assert {(each["initiator"], each["address"]) for each in entries} == {("person-mara", "192.0.2.7:40000")}
    with pytest.raises(NameTaken):
        await serving.line.act(serving.behalf(mara), "instance.create", wanted)


async def test_the_serving_process_looks_at_the_rights_itself(serving: Serving) -> None:
    """Nothing that the web process says about rights counts: it says nothing but the token."""
    viewer = await serving.web.person("vera", Grant(Role.VIEWER))
    with pytest.raises(Forbidden):
        await serving.line.act(serving.behalf(viewer), "instance.create", {"name": "prod"})
    for token in ("krk_nobody", "", viewer[:-1] + "x"):
        with pytest.raises(Unauthenticated):
            await serving.line.act(serving.behalf(token), "instance.create", {"name": "prod"})
    mara = await serving.web.person("mara", ADMINISTRATOR)
    (key,) = [each for each in await serving.web.catalog.api_keys() if mara.startswith(f"krk_{each.identifier}")]
    await serving.web.catalog.commit(Unit(entries=(), people=PeopleChanges(api_keys=(replace(key, revoked_at=1),))))
    with pytest.raises(Unauthenticated):
        await serving.line.act(serving.behalf(mara), "instance.create", {"name": "prod"})
    assert await serving.catalog.instances() == []


async def test_somebody_elses_instance_is_not_there(serving: Serving) -> None:
    other = await serving.web.instance("other")
    mine = await serving.web.instance("mine")
    scoped = await serving.web.person("mara", Grant(Role.ADMINISTRATOR, mine.identifier))
    for name in ("other", other.identifier, "nobody"):
        with pytest.raises(NotThere):
            await serving.line.act(serving.behalf(scoped), "instance.configure", {"instance": name})


@pytest.mark.parametrize(
    ("act", "arguments"),
    [
        ("no.such", {}),
        ("instance.create", {"name": 5}),
        ("instance.create", {"name": "a", "storage": "moon"}),
        ("instance.configure", {}),
    ],
)
async def test_nonsense_is_refused_as_such(serving: Serving, act: str, arguments: Mapping[str, Any]) -> None:
    mara = await serving.web.person("mara", ADMINISTRATOR)
    with pytest.raises(Unusable):
        await serving.line.act(serving.behalf(mara), act, arguments)


async def test_refusals_come_through_as_they_are() -> None:
    for error in (
        Refused("no", hint="do so", field="name"),
        StillHanging("no", ["a key"]),
        KeyManagerRefused("no", Reason.STATE),
        KeyManagerUnavailable("no", Reason.UNREACHABLE),
    ):
        with pytest.raises(type(error) if not isinstance(error, StillHanging) else Refused) as caught:
            raise_told(json.loads(json.dumps(told_of(error))))
        if isinstance(error, Refused):
            assert isinstance(caught.value, Refused)
            seen = caught.value
            assert (seen.code, seen.told, seen.hint, seen.field) == (error.code, error.told, error.hint, error.field)
            assert seen.more == error.more
    with pytest.raises(BackOfficeUnavailable) as told:
        raise_told(told_of(ZeroDivisionError("a secret")))
    assert "secret" not in str(told.value)


async def test_where_nobody_serves_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackOfficeUnavailable):
        await BackOfficeLine(tmp_path).root_keys("embedded")
    socket_of(tmp_path, 0).touch()
    assert [(each.worker, each.listening) for each in await BackOfficeLine(tmp_path).health()] == [(0, False)]


# Who may speak ------------------------------------------------------------------------------------------------------


def test_the_socket_is_its_users_alone(serving: Serving) -> None:
    assert serving.socket.stat().st_mode & 0o777 == 0o600


_STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b'{"verb": "key_managers"}\\n')
    print("answered", s.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_refused_even_where_the_mode_lets_it_in(short: Serving) -> None:
    def ask() -> str:
        done = subprocess.run(
            [sys.executable, "-c", _STRANGER, str(short.socket)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert await asyncio.to_thread(ask) == "PermissionError"
    # Somebody has opened the way by hand: then the kernel's word is what counts.
    short.socket.chmod(0o777)
    for parent in (*short.run.parents, *short.socket.resolve().parents):
        if parent.stat().st_uid == 0 and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    assert await asyncio.to_thread(ask) in ("answered b''", "ConnectionResetError", "BrokenPipeError")
    assert len(await short.line.key_managers()) == 1


# What is survived ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        b"\n",
        b"garbage\n",
        b"[]\n",
        b'"x"\n',
        b"{}\n",
        b'{"verb": ["x"]}\n',
        b'{"verb": "act"}\n',
        b'{"verb": "act", "token": 1, "address": 2, "correlation": 3, "act": 4, "arguments": 5}\n',
        b'{"verb": "root_keys", "key_manager": "../../etc"}\n',
        b"\x00" * 1000 + b"\n",
        b"[" * 60_000 + b"\n",
        b"x" * (LONGEST_REQUEST + 100_000) + b"\n",
    ],
)
async def test_whatever_is_said_the_next_one_is_answered(short: Serving, octets: bytes) -> None:
    assert b'"answer"' not in await short.raw(octets)
    assert len(await short.line.key_managers()) == 1


async def test_who_hangs_is_cut_off_and_keeps_nobody_waiting(short: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_office_server, "HEARING", 0.3)
    monkeypatch.setattr(back_office_server, "CONNECTIONS", 8)
    hanging = [await asyncio.open_unix_connection(str(short.socket)) for _ in range(8)]
    await asyncio.sleep(0.05)
    # No room is left, and nobody waits long for it.
    assert await short.raw(b'{"verb": "key_managers"}\n') == b""
    await asyncio.sleep(0.4)
    assert len(await short.line.key_managers()) == 1
    for _, writer in hanging:
        writer.close()


async def test_a_key_manager_that_hangs_holds_up_nobody_else(serving: Serving) -> None:
    slow = MemoryKeyManager()
    slow.delay = 30
    serving.desk.managers = {**serving.desk.managers, "slow": slow}
    serving.desk.types = {**serving.desk.types, "slow": "key_protect"}
    waiting = asyncio.create_task(serving.line.root_keys("slow"))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        assert await serving.line.root_keys("embedded") == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_without_a_place_for_a_socket_the_rest_goes_on(tmp_path: Path, serving: Serving) -> None:
    file = tmp_path / "file"
    file.touch()
    async with back_office(file / "run", 0, serving.desk):
        pass


# Health -------------------------------------------------------------------------------------------------------------


async def test_health_is_a_real_unwrap_and_not_one_for_each_who_asks(tmp_path: Path) -> None:
    manager = MemoryKeyManager()
    async with open_face(tmp_path) as face:
        root_key = await manager.create_root_key("r")
        instance = await face.instance("prod", root_key=root_key.identifier)
        looked = WorkerCondition(0, face.catalog, {"embedded": manager}, lambda: True)
        first = await asyncio.gather(*(looked.look() for _ in range(50)))
        assert manager.calls["probe"] == 1
        (trial,) = first[0].trials
        assert (trial.root_key, trial.told, first[0].committing) == (root_key.identifier, "", True)
        assert reasons(first[:1], first[0].at, 15) == []
        # Its root key is disabled: nothing is unwrapped any more, and it is told so once the look is over.
        await manager.disable_root_key(instance.root_key)
        assert (await looked.look()).trials[0].told == ""
        looked._until = 0
        seen = await looked.look()
        assert seen.trials[0].told != ""
        assert "has unwrapped nothing of late" in reasons([seen], seen.at, 15)[0]
        # An unwrap of long ago proves nothing.
        assert reasons(first[:1], first[0].at + 16, 15) != []


async def test_of_many_root_keys_one_that_unwraps_is_enough_and_all_have_their_turn(tmp_path: Path) -> None:
    manager = MemoryKeyManager()
    async with open_face(tmp_path) as face:
        made = [await manager.create_root_key(str(number)) for number in range(4)]
        for number, each in enumerate(made):
            await face.instance(str(number), root_key=each.identifier)
        await manager.disable_root_key(made[0].identifier)
        looked = WorkerCondition(0, face.catalog, {"embedded": manager}, lambda: True)
        for _ in range(5):
            seen = await looked.look()
            assert manager.calls["probe"] <= condition.TRIED_AT_ONCE * 5
            assert reasons([seen], seen.at, 15) == []
            looked._until = 0
        assert {each.root_key for each in seen.trials} == {each.identifier for each in made}


@pytest.mark.sqlite("a table is taken away through the connection")
async def test_a_catalog_that_takes_no_commit_is_not_ready(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        await face.instance("prod")
        looked = WorkerCondition(0, face.catalog, {"embedded": MemoryKeyManager()}, lambda: True)
        assert isinstance(face.catalog, SqliteCatalog)
        face.catalog._writer._connection.execute("DROP TABLE pulses")
        seen = await looked.look()
        assert (seen.committing, seen.trials) == (False, ())
        assert reasons([seen], seen.at, 15) == ["the catalog takes no commit"]


async def test_a_closed_door_is_told_at_once_and_no_commit_is_waited_for(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        doors = [True]
        looked = WorkerCondition(0, face.catalog, {"embedded": MemoryKeyManager()}, lambda: doors[0])
        assert (await looked.look()).listening
        doors[0] = False
        await face.catalog.close()
        seen = await looked.look()
        assert (seen.listening, seen.committing) == (False, False)


def test_no_process_and_one_that_does_not_listen() -> None:
    silent: Sequence[Any] = [WorkerHealth(worker=0, listening=False, committing=False, at=0)]
    assert reasons([], 0, 15) == ["no serving process is there"]
    assert reasons(silent, 0, 15) == ["no serving process takes KMIP connections"]
    well = WorkerHealth(worker=1, listening=True, committing=True, at=0)
    assert reasons([*silent, well], 0, 15) == []
