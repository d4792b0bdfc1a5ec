"""Every cell of the table of outcomes happens: the real adapters, a fault proxy, and a real key manager behind it.

Each cell has an adapter and a pair of proxies to itself. The short form has short deadlines, and leaves out imports
that take long.
"""

import asyncio
import contextlib
import os
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from keyrack.adapters.key_managers.ibm.client import IMPORT_TOKEN_SECONDS
from keyrack.adapters.key_managers.ibm.iam import FETCH
from keyrack.adapters.key_managers.ibm.settings import HPCS, TokenFile
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.testing.fault_proxy_http import CANNED
from keyrack.testing.fault_proxy_rules import OF_CONNECTIONS
from keyrack.testing.ibm_grounds import ADAPTERS, Adapter, IbmFace, Lane, ibm_face, lane_on_loop
from keyrack.testing.outcome_cases import CASES
from keyrack.testing.outcomes import HPCS_ALONE, LONG, METHODS, Case, Kind, Outcome, Result, Wait, Where

LANES: Final = 12
Cell = tuple[Case, str, str]
"""A fault, a kind of key manager, and a method."""
AAD: Final = ("kek1", "deployment", "instance")
SHORT: Final[Mapping[str, float]] = {"answer_seconds": 0.8, "write_seconds": 1.0, "connect_seconds": 0.6}
PATIENT: Final[Mapping[str, float]] = {"answer_seconds": 3.0, "write_seconds": 4.0}
USUAL: Final[Mapping[str, float]] = {}
"""The adapters' own deadlines."""
EARLY, LATE = 0.05, 0.8
"""Seconds before a deadline at which nobody need wait any more, and by which a loaded machine may be late."""


@dataclass(slots=True)
class Things:
    """What the calls are made with; those that change something get something of their own."""

    face: IbmFace
    root_key: str
    ciphertext: bytes
    standard_key: str
    name: str = ""
    """Of what a call makes, or the identifier of what it changes."""

    async def own(self, method: str, number: int) -> "Things":
        """With what this call alone uses."""
        manager, name = self.face.manager, f"vmware_kmip_{method}-{number}"
        if method == "delete_standard_key":
            name = await manager.put_standard_key(name, b"to be deleted")
        elif method in {"rotate_root_key", "disable_root_key", "enable_root_key", "delete_root_key"}:
            name = (await manager.create_root_key(name)).identifier
            if method == "enable_root_key":
                await manager.disable_root_key(name)
        return replace(self, name=name)


async def _wrap(at: Adapter, things: Things) -> None:
    with _a_secret() as secret:
        assert (await at.wrap(things.root_key, secret, AAD)).ciphertext


async def _unwrap(at: Adapter, things: Things) -> None:
    with (await at.unwrap(things.root_key, things.ciphertext, AAD)).plaintext as opened:
        assert len(opened) == 32


async def _rewrap(at: Adapter, things: Things) -> None:
    assert (await at.rewrap(things.root_key, things.ciphertext, AAD)).ciphertext


async def _describe(at: Adapter, things: Things) -> None:
    assert (await at.describe_root_key(things.root_key)).state == 1


async def _binds(at: Adapter, things: Things) -> bool:
    return await at.binds(things.root_key)  # type: ignore[union-attr]


async def _get(at: Adapter, things: Things) -> None:
    assert (await at.get_standard_key(things.standard_key)).payload == b"kept"


async def _list(at: Adapter, things: Things) -> None:
    assert things.standard_key in [each.identifier async for each in at.list_standard_keys("vmware_kmip_")]


async def _find(at: Adapter, things: Things) -> None:
    assert [things.standard_key] == [each.identifier for each in await at.find_standard_keys("vmware_kmip_kept")]


async def _list_root_keys(at: Adapter, things: Things) -> None:
    assert things.root_key in [each.identifier for each in await at.list_root_keys()]


async def _import(at: Adapter, things: Things) -> None:
    with _a_secret() as secret:
        assert (await at.import_root_key(things.name, secret)).state == 1


def _a_secret() -> Secret:
    return Secret(bytearray(os.urandom(32)))


CALLS: Final[Mapping[str, Callable[[Any, Things], Awaitable[Any]]]] = {
    "describe_root_key": _describe,
    "wrap": _wrap,
    "unwrap": _unwrap,
    "rewrap": _rewrap,
    "probe": lambda at, things: at.probe(things.root_key),
    "binds": _binds,
    "get_standard_key": _get,
    "list_standard_keys": _list,
    "find_standard_keys": _find,
    "list_root_keys": _list_root_keys,
    "delete_standard_key": lambda at, things: at.delete_standard_key(things.name),
    "put_standard_key": lambda at, things: at.put_standard_key(things.name, b"put"),
    "create_root_key": lambda at, things: at.create_root_key(things.name),
    "import_root_key": _import,
    "rotate_root_key": lambda at, things: at.rotate_root_key(things.name),
    "disable_root_key": lambda at, things: at.disable_root_key(things.name),
    "enable_root_key": lambda at, things: at.enable_root_key(things.name),
    "delete_root_key": lambda at, things: at.delete_root_key(things.name),
}


@dataclass(frozen=True, slots=True)
class Met:
    """How a call has ended."""

    result: Result
    reason: Reason | None
    value: Any
    took: float
    asked: int
    connect: float
    deadline: float

    @property
    def ended_late(self) -> bool:
        """Whether the call that did not work ended only when its time was over."""
        return self.result is not Result.WORKS and self.took > self.deadline - EARLY

    def least(self, told: Outcome) -> float:
        """Seconds that the call takes at least."""
        return {Wait.NONE: 0.0, Wait.CONNECT: self.connect, Wait.DEADLINE: self.deadline}[told.wait] - EARLY

    def flaws(self, case: Case, told: Outcome, method: str) -> Iterator[str]:
        """What the table tells otherwise."""
        if (self.result, self.reason) != (told.result, told.reason):
            yield f"{self.result}, {self.reason}: {self.value}"
        if told.asked is not None and self.asked != told.asked:
            yield f"asked {self.asked} times"
        if not self.least(told) <= self.took <= self.deadline + LATE or (self.ended_late and told.wait is Wait.NONE):
            yield f"after {self.took:.2f} s of {self.deadline} s"
        if method == "binds" and self.result is Result.WORKS and self.value is case.name.startswith("aad"):
            yield f"it answers {self.value}"


async def _warmed(at: Adapter, things: Things) -> None:
    """A token and an open connection; a loaded machine gets another chance."""
    try:
        await at.describe_root_key(things.root_key)
    except KeyManagerUnavailable:
        await at.describe_root_key(things.root_key)


async def _met(way: Lane, at: Adapter, things: Things, case: Case, method: str) -> Met:
    struck = {
        Where.KEY_MANAGER: (way.key_manager,),
        Where.IAM: (way.iam,),
        Where.BOTH: (way.key_manager, way.iam),
    }[case.where]
    for proxy in struck:
        proxy.set(*case.rules)
    if case.rules[0].fault in OF_CONNECTIONS:
        await asyncio.sleep(0.02)  # Open connections are reset by then.
    for before in case.before:
        with contextlib.suppress(KeyManagerFailed):
            await CALLS[before](at, replace(things, name="vmware_kmip_before"))
    for proxy in struck:
        proxy.forget()
    settings = at.settings
    is_long = METHODS[method] is not Kind.READING or method in LONG
    deadline = settings.write_seconds if is_long else settings.answer_seconds
    if method == "import_root_key":
        deadline = min(IMPORT_TOKEN_SECONDS, FETCH) if case.where is Where.IAM else IMPORT_TOKEN_SECONDS
    result, reason, began = Result.WORKS, None, time.monotonic()
    value: Any = None
    try:
        value = await CALLS[method](at, things)
    except KeyManagerFailed as error:
        result = Result.REFUSED if isinstance(error, KeyManagerRefused) else Result.UNAVAILABLE
        reason, value = error.reason, error
    took = time.monotonic() - began
    faults = {rule.fault for rule in case.rules}
    asked = sum(each.fault in faults for proxy in struck for each in proxy.seen())
    return Met(result, reason, value, took, asked, settings.connect_seconds, deadline)


@dataclass(slots=True)
class Ground:
    """A key manager, ways to it, and what the calls are made with."""

    things: Things
    lanes: "asyncio.Queue[Lane]"
    deadlines: Mapping[str, float]
    count: int = 0

    async def cell(self, cell: Cell, deadlines: Mapping[str, float]) -> list[str]:
        """Make it happen; what is wrong with it."""
        case, kind, method = cell
        way = await self.lanes.get()
        self.count += 1
        things = await self.things.own(method, self.count)
        changes: dict[str, Any] = {**deadlines, **(PATIENT if case.patient else {})}
        if case.where is Where.KEY_MANAGER and not _is_about_tokens(case):
            changes["iam"] = replace(way.settings.iam, source=TokenFile(things.face.token))
        at = way.adapter(kind, **changes)
        try:
            if not case.cold:
                await _warmed(at, things)
            met = await _met(way, at, things, case, method)
        finally:
            for proxy in (way.key_manager, way.iam):
                proxy.set()
            await at.close()
            self.lanes.put_nowait(way)
        flaws = list(met.flaws(case, case.outcome(kind, method), method))
        if method == "put_standard_key":
            kept = len(await things.face.manager.find_standard_keys(things.name))
            if kept > 1 or (met.result is Result.WORKS and not kept):
                flaws.append(f"it is kept {kept} times")
        return flaws

    async def table(self, leave_out: Callable[[Case, str, str], bool] | None = None) -> list[str]:
        """Make all cells happen, as many at a time as there are ways; what is wrong with them.

        One that is not as it is told gets another chance, alone and with the usual deadlines: the machine is shared.
        """
        cells = [
            (case, kind, method)
            for case in CASES
            for kind in ADAPTERS
            for method in METHODS
            if (kind == HPCS or method not in HPCS_ALONE) and not (leave_out and leave_out(case, kind, method))
        ]
        found = await asyncio.gather(*(self.cell(cell, self.deadlines) for cell in cells))
        again = [cell for cell, flaws in zip(cells, found, strict=True) if flaws]
        print(f"{len(cells)} cells, {len(again)} tried again")  # noqa: T201 - pytest shows it
        flawed = [(cell, flaws) for cell in again if (flaws := await self.cell(cell, USUAL))]
        return [
            f"{case.where}: {case.name}, {kind}, {method}: {'; '.join(flaws)}" for (case, kind, method), flaws in flawed
        ]


@asynccontextmanager
async def grounds(directory: Path, deadlines: Mapping[str, float]) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        face = stack.enter_context(ibm_face(directory))
        root_key = (await face.manager.create_root_key("root")).identifier
        standard_key = await face.manager.put_standard_key("vmware_kmip_kept", b"kept")
        lanes: asyncio.Queue[Lane] = asyncio.Queue()
        for number in range(LANES):
            way = await stack.enter_async_context(lane_on_loop(face, directory / f"lane-{number}"))
            lanes.put_nowait(way)
        at = way.adapter()
        with _a_secret() as secret:
            ciphertext = (await at.wrap(root_key, secret, AAD)).ciphertext
        await at.close()
        yield Ground(Things(face, root_key, ciphertext, standard_key), lanes, deadlines)


def _is_about_tokens(case: Case) -> bool:
    return any(CANNED.get(rule.fault) and CANNED[rule.fault].status in {400, 401} for rule in case.rules)


def _takes_long(case: Case, kind: str, method: str) -> bool:
    """Imports that wait, or that get as far as an import token, for which the key manager makes an RSA key."""
    told = case.outcome(kind, method)
    return method == "import_root_key" and (told.wait is not Wait.NONE or told.reason in {None, Reason.READ_ONLY})


def _is_left_to_the_long_form(case: Case, kind: str, method: str) -> bool:
    """What takes long, and half of the rest: each fault, each kind and each method stays with some others."""
    half = zlib.crc32(f"{case.where} {case.name} {kind} {method}".encode()) % 2
    return bool(half) or _takes_long(case, kind, method)


async def test_every_fault_comes_to_what_the_table_tells(tmp_path: Path) -> None:
    """With short deadlines."""
    async with grounds(tmp_path, SHORT) as ground:
        assert [] == await ground.table(_is_left_to_the_long_form)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_every_fault_comes_to_what_the_table_tells_with_usual_deadlines(tmp_path: Path) -> None:
    """With those that everybody has."""
    async with grounds(tmp_path, USUAL) as ground:
        assert [] == await ground.table()
