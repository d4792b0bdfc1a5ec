"""Five tenants over REST and KMIP, everybody against everybody: no leak, and what is foreign looks absent.

Each walk is a seed; a failure tells it, with the step, the request and the answer. ``KEYRACK_TENANCY_SEED`` and
``KEYRACK_TENANCY_OPERATIONS`` walk it again. What the model says comes from the rights table alone; whose each word of
an answer is, from what was planted.
"""

import asyncio
import os
import statistics
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from keyrack.adapters.catalogs import admissions as admissions_room
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.units import Application
from keyrack.domain.rights import EVERYWHERE, Grant, Grants, Right, Role
from keyrack.operations._registry import OPERATIONS
from keyrack.service.journal import exporting, naming, reading
from keyrack.service.office import approvals
from keyrack.service.office.administration import Administration
from keyrack.service.people import api_keys
from keyrack.shell.rest.v1 import idempotency
from keyrack.shell.rest.v1.door import Door
from keyrack.spec.enumerations import Operation
from keyrack.testing import conversation as say
from keyrack.testing.house import frame_of
from keyrack.testing.rest import Answer
from keyrack.testing.tenancy import World
from keyrack.testing.tenancy_calls import routes_of, unguarded_routes
from keyrack.testing.tenancy_house import open_world
from keyrack.testing.tenancy_served import UNFIT, served_world
from keyrack.testing.tenancy_verdict import Broken
from keyrack.testing.tenancy_walk import Walk
from keyrack.testing.web_process import WebProcess, web_process

SEEDS = [int(each) for each in os.environ.get("KEYRACK_TENANCY_SEED", "1,2").split(",")]
REAL = 250
"""Operations through real processes."""
OPERATIONS_EACH = int(os.environ.get("KEYRACK_TENANCY_OPERATIONS", "1500"))


async def walked(directory: Path, seed: int, operations: int) -> Walk:
    """A walk in a world of its own."""
    async with open_world(directory, seed) as (world, face):
        walk = Walk(world, face.app.app)
        await walk.go(operations, seed=seed)
        return walk


def told(walk: Walk) -> Counter[str]:
    """How often each outcome was come by, whatever was asked."""
    found: Counter[str] = Counter()
    for (name, outcome), count in walk.rest.outcomes.items():
        found[name if name == "twin" else outcome] += count
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_tenant_sees_another(tmp_path: Path, seed: int) -> None:
    """Some 3,000 operations in all; each outcome that matters was come by often."""
    walk = await walked(tmp_path, seed, OPERATIONS_EACH)
    found = told(walk)
    least = OPERATIONS_EACH // 30
    assert {name: found[name] > least for name in ("2xx", "403", "404", "twin")} == dict.fromkeys(
        ("2xx", "403", "404", "twin"), True
    ), found
    assert walk.kmip.outcomes["twin", ""] > least // 2, walk.kmip.outcomes
    assert {each.title for each in _operations()} <= {name for name, _ in walk.kmip.outcomes}


def _report(what: str) -> None:
    """Shown by ``pytest -s``."""
    sys.stdout.write(f"\n{what}\n")


def _operations() -> list[Operation]:
    return [row.operation for row in OPERATIONS.values()]


def test_no_tenant_sees_another_through_real_processes(tmp_path: Path) -> None:
    """A serving process, a web process, TLS on both; some hundred operations."""

    async def walk(served: WebProcess) -> Walk:
        async with open_world(tmp_path, 0) as (_, face), served_world(served, 4) as world:
            walk = Walk(world, face.app.app, UNFIT)
            await walk.go(REAL, seed=4)
            return walk

    # This machine itself may read the numbers of all instances; here it is where the tenants are.
    with web_process(tmp_path / "d", KEYRACK_API__PORT="0", KEYRACK_METRICS__ALLOW="") as served:
        found = told(asyncio.run(walk(served)))
    assert found["2xx"] > REAL / 30, found
    assert found["404"] > REAL / 30, found


@pytest.mark.slow
async def test_no_tenant_sees_another_in_a_hundred_thousand_operations(tmp_path: Path) -> None:
    walk = await walked(tmp_path, SEEDS[0] + 1000, 100_000)
    _report(f"{sorted(walk.rest.outcomes.items())}\n{sorted(walk.kmip.outcomes.items())}")
    made = {name for name, outcome in walk.rest.outcomes if outcome == "2xx"}
    assert {"show_key", "destroy_key", "agree_to_approval", "create_instance", "remove_instance", "grant_role"} <= made


async def test_the_right_of_each_call_is_told(tmp_path: Path) -> None:
    """A new route needs its row in ``keyrack.testing.tenancy_rights``; it is walked without, as far as nobody may."""
    async with open_world(tmp_path, 0) as (_, face):
        assert unguarded_routes(routes_of(face.app.app)) == set()


async def test_a_kept_answer_is_not_for_who_has_lost_the_right(tmp_path: Path) -> None:
    """The same request under the same Idempotency-Key is repeated, until the caller may not ask it any more."""
    async with open_world(tmp_path, 6) as (world, _):
        tenant = world.tenants[0]
        caller = await world.enter("mara", {Grant(Role.ADMINISTRATOR, tenant.identifier)})

        async def unsealed() -> Answer:
            path = f"/api/v1/instances/{tenant.identifier}/unseal"
            return await world.doors.rest("POST", path, caller.token, None, {"idempotency-key": "mine"})

        assert [(await unsealed()).status for _ in range(2)] == [200, 200]
        await world.asked(
            "POST", f"/people/{caller.person}/revoke", {"role": "administrator", "instance": tenant.identifier}
        )
        refused = await unsealed()
        assert (refused.status, refused.code) == (422, "idempotency-key-reused")
        assert tenant.marker.encode() not in refused.body


# Taken out, one at a time ---------------------------------------------------------------------------------------------


def _sees_all(patch: pytest.MonkeyPatch) -> None:
    async def instances(self: Administration) -> Any:
        return list(await self.catalog.instances())

    patch.setattr(Administration, "instances", instances)


def _sees_by_identifier(patch: pytest.MonkeyPatch) -> None:
    """Only whoever has a foreign identifier gets the instance."""
    real = Administration.instance

    async def instance(self: Administration, name: str) -> Any:
        found = {each.identifier: each for each in await self.catalog.instances()}
        return found[name] if name in found else await real(self, name)

    patch.setattr(Administration, "instance", instance)


def _without(right: Right) -> Callable[[pytest.MonkeyPatch], None]:
    def taken_out(patch: pytest.MonkeyPatch) -> None:
        real = Administration.require

        def require(self: Administration, wanted: Right, instance: str = EVERYWHERE) -> None:
            if wanted is not right:
                real(self, wanted, instance)

        patch.setattr(Administration, "require", require)

    return taken_out


def _unnarrowed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Grants, "narrowed", lambda self, roles: self)


def _scoped_is_everywhere(patch: pytest.MonkeyPatch) -> None:
    real = Grants.allow
    patch.setattr(Grants, "allow", lambda self, right, instance="": real(self, right, instance or _any(self)))


def _any(grants: Grants) -> str:
    return next((each.instance for each in grants.held), "")


def _journal_of_all(patch: pytest.MonkeyPatch) -> None:
    async def readable(administration: Administration, name: str) -> None:
        return None

    patch.setattr(reading, "_readable", readable)


def _names_of_all(patch: pytest.MonkeyPatch) -> None:
    async def names_of(catalog: Any, deployment: str = "", of: Any = None) -> Any:
        return await naming.names_of(catalog, deployment)

    patch.setattr(exporting, "names_of", names_of)


def _uncommitted_trust(patch: pytest.MonkeyPatch) -> None:
    """The commit believes what the session remembers."""
    patch.setattr(Application, "_authorise", lambda self, principal: None)


def _authority_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admissions_room, "admitted", lambda execute, principal: (principal.instance, None))


def _foreign_loads(patch: pytest.MonkeyPatch) -> None:
    real = SqliteCatalog.load

    async def load(self: SqliteCatalog, instance: str, unique_identifier: str) -> Any:
        for each in await self.instances():
            if (found := await real(self, each.identifier, unique_identifier)) is not None:
                return found
        return None

    patch.setattr(SqliteCatalog, "load", load)


def _foreign_rows(patch: pytest.MonkeyPatch) -> None:
    """An administrator's act finds a key by its identifier alone."""
    real = SqliteCatalog.key_rows

    async def key_rows(self: SqliteCatalog, instance: str, identifiers: Any) -> Any:
        rows: list[Any] = []
        for each in await self.instances():
            rows += await real(self, each.identifier, identifiers)
        return rows

    patch.setattr(SqliteCatalog, "key_rows", key_rows)


def _all_certificates(patch: pytest.MonkeyPatch) -> None:
    real = SqliteCatalog.certificates
    patch.setattr(SqliteCatalog, "certificates", lambda self, instance=None: real(self))


def _all_approvals(patch: pytest.MonkeyPatch) -> None:
    async def found(administration: Administration, book: Any, instance: str | None = None) -> Any:
        return await book.approvals(instance)

    patch.setattr(approvals, "approvals", found)


def _answers_of_others(patch: pytest.MonkeyPatch) -> None:
    """Kept answers are everybody's."""

    async def fingerprint(request: Any) -> bytes:
        return b"the same"

    patch.setattr(idempotency, "_caller", lambda visit: "anybody")
    patch.setattr(idempotency, "_fingerprint", fingerprint)


def _api_keys_of_others(patch: pytest.MonkeyPatch) -> None:
    real = api_keys.api_key

    async def api_key(administration: Administration, book: Any, named: str, who: Any = None) -> Any:
        held = {each.identifier: each for each in await book.api_keys(None)}
        return held[named] if named in held else await real(administration, book, named, who)

    patch.setattr(api_keys, "api_key", api_key)


def _telling_header(patch: pytest.MonkeyPatch) -> None:
    """A header tells whether an instance is there for somebody else."""
    real = Door.__call__

    async def call(self: Door, scope: Any, receive: Any, send: Any) -> None:
        names = {each.identifier for each in await self._premises.catalog.instances()}  # type: ignore[attr-defined]

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and any(each in scope["path"] for each in names):
                message["headers"] = [*message["headers"], (b"x-cache", b"hit")]
            await send(message)

        await real(self, scope, receive, sending)

    patch.setattr(Door, "__call__", call)


SABOTAGE: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "every instance is seen": _sees_all,
    "an instance is found by its identifier": _sees_by_identifier,
    "who may change instances is not asked": _without(Right.INSTANCE_CHANGE),
    "who may seal is not asked": _without(Right.INSTANCE_SEAL),
    "who may activate keys is not asked": _without(Right.KEY_ACTIVATE),
    "who may see people is not asked": _without(Right.PERSON_READ),
    "who may bar is not asked": _without(Right.CERTIFICATE_REMOVE),
    "API keys are not narrowed": _unnarrowed,
    "a grant for one is one for the deployment": _scoped_is_everywhere,
    "the journal is everybody's": _journal_of_all,
    "an export names everybody": _names_of_all,
    "a commit does not look at the certificate": _uncommitted_trust,
    "a commit does not look at the authority": _authority_for_ever,
    "a foreign object is loaded": _foreign_loads,
    "a foreign key is acted on": _foreign_rows,
    "certificates are everybody's": _all_certificates,
    "approvals are everybody's": _all_approvals,
    "kept answers are everybody's": _answers_of_others,
    "API keys are everybody's": _api_keys_of_others,
    "a header tells what is there": _telling_header,
}


@pytest.mark.slow
@pytest.mark.parametrize("how", SABOTAGE)
async def test_a_protection_that_is_taken_out_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A walk finds each of them within some thousand operations."""
    async with open_world(tmp_path, 7) as (world, face):
        walk = Walk(world, face.app.app)
        SABOTAGE[how](monkeypatch)
        with pytest.raises(Broken) as found:
            await walk.go(15_000, seed=7)
    _report(f"{how}: after {walk.operations} operations: {str(found.value)[:300]}")


# How long it takes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_foreign_and_absent_take_as_long(tmp_path: Path) -> None:
    """Reported, and asserted only against what anybody could measure from afar."""
    async with open_world(tmp_path, 3) as (world, _):
        await _keys(world)
        caller = next(each for each in world.callers if each.name == "administrator-one")
        foreign = next(each for each in world.tenants if not caller.sees(each))
        own = next(each for each in world.tenants if caller.sees(each))
        client = next(each for each in world.clients if each.tenant is own and each.trusted)

        async def rest(path: str) -> None:
            await world.doors.rest("GET", f"/api/v1/{path}", caller.token, None, {})

        async def kmip(uid: str) -> None:
            await world.doors.kmip(frame_of([say.get(uid)]), client)

        measured = {
            "REST, an instance": await _apart(
                lambda: rest(f"instances/{foreign.identifier}"), lambda: rest(_none(world))
            ),
            "REST, a key": await _apart(
                lambda: rest(f"instances/{own.identifier}/keys/{foreign.keys[0]}"),
                lambda: rest(f"instances/{own.identifier}/keys/{world.absent(foreign.keys[0])}"),
            ),
            "KMIP, Get": await _apart(lambda: kmip(foreign.keys[0]), lambda: kmip(world.absent(foreign.keys[0]))),
        }
    _report(str({name: f"{seconds * 1e6:+.0f} us" for name, seconds in measured.items()}))
    assert all(abs(seconds) < 0.005 for seconds in measured.values()), measured


def _none(world: World) -> str:
    return f"instances/{world.absent(world.tenants[0].identifier)}"


async def _keys(world: World) -> None:
    for client in (each for each in world.clients if each.trusted):
        await world.doors.kmip(frame_of([say.create()]), client)
    for tenant in world.tenants:
        rows = await world.asked("GET", f"/instances/{tenant.identifier}/keys")
        tenant.keys += [each["unique_identifier"] for each in rows["items"]]


async def _apart(one: Callable[[], Awaitable[None]], other: Callable[[], Awaitable[None]]) -> float:
    """Seconds between the medians of two acts, done in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(1500):
        for act, kept in zip((one, other), times, strict=True):
            began = perf_counter()
            await act()
            kept.append(perf_counter() - began)
    return statistics.median(times[0]) - statistics.median(times[1])
