"""The journal over REST: who may read whose, pages, exports that prove themselves, followers that lose their right."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.journals.checkpoint_file import CheckpointFile
from keyrack.adapters.journals.signing import SigningKey
from keyrack.domain.instances import Instance
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.journal.exported import Exported
from keyrack.service.journal.notary import Notary
from keyrack.service.journal.reading import Wanted
from keyrack.service.office.administration import Administration
from keyrack.shell.rest.v1 import journal
from keyrack.shell.rest.v1.callers import Visit
from keyrack.testing.catalog_values import entry
from keyrack.testing.rest import Face, NobodyThere, open_face

URL = "/api/v1/journal"
AUDITOR = Grant(Role.AUDITOR)
KEY = SigningKey.new()
WITHIN = 5.0


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    """With the records of two instances."""
    async with open_face(tmp_path) as opened:
        for name in ("prod", "lab"):
            await written(opened, await opened.instance(name), 4)
        yield opened


async def written(face: Face, instance: Instance, count: int) -> None:
    """So many Gets."""
    at = 1_790_000_000_000
    entries = [
        entry(action="Get", instance=instance.identifier, target=f"{instance.name}-{number}", at=at + number)
        for number in range(count)
    ]
    await face.catalog.commit(Unit(entries=entries))


async def signed(face: Face, directory: Path) -> None:
    """A checkpoint over everything."""
    notary = Notary(
        face.catalog, KEY, CheckpointFile(directory / "c.jsonl"), deployment="", clock=lambda: 1_790_000_001_000
    )
    await notary.make()


def targets(answer: bytes) -> list[str]:
    """Of a page."""
    return [event["target"]["id"] for event in json.loads(answer)["items"]]


async def test_records_are_found_in_pages_newest_first(face: Face) -> None:
    """With every filter kept; each is an event."""
    who = await face.person("aud", AUDITOR)
    first = await face.ask("GET", f"{URL}?instance=prod&limit=3&action=kmip-key.read", who)
    rest = await face.ask("GET", f"{URL}?instance=prod&limit=3&action=Get&cursor={first.json()['next']}", who)
    found = await face.ask("GET", f"{URL}?text=LAB-2", who)

    assert (first.status, targets(first.body)) == (200, ["prod-3", "prod-2", "prod-1"])
    assert (targets(rest.body), rest.json()["next"]) == (["prod-0"], None)
    assert targets(found.body) == ["lab-2"]
    assert first.json()["items"][0]["action"] == "vmware-solutions.kmip-key.read"


async def test_nobody_reads_more_than_they_may(face: Face) -> None:
    """A role without the right none, one for an instance that instance's; another instance is as one that is not."""
    prod = next(each for each in await face.catalog.instances() if each.name == "prod")
    viewer = await face.person("view", Grant(Role.VIEWER))
    scoped = await face.person("scoped", Grant(Role.AUDITOR, prod.identifier))
    mine = await face.ask("GET", f"{URL}?limit=500", scoped)
    foreign = await face.ask("GET", f"{URL}?instance=lab", scoped)
    absent = await face.ask("GET", f"{URL}?instance=nothing", scoped)
    exported = await face.ask("GET", f"{URL}/export", scoped)

    assert (await face.ask("GET", URL, viewer)).code == "forbidden"
    assert (await face.ask("GET", f"{URL}/export", viewer)).code == "forbidden"
    assert (await face.ask("GET", f"{URL}/follow", viewer)).code == "forbidden"
    assert (await face.ask("GET", f"{URL}/checkpoints", scoped)).code == "forbidden"
    assert (await face.ask("POST", f"{URL}/verify", scoped)).code == "forbidden"
    assert {target[:4] for target in targets(mine.body)} == {"prod"}
    assert (foreign.status, foreign.body) == (404, absent.body)
    assert b"lab-" not in exported.body
    assert exported.body.count(b'"prod-') >= 4


async def test_what_cannot_be_asked_is_told(face: Face) -> None:
    """An action that is none, times and cursors that are none."""
    who = await face.person("aud", AUDITOR)

    assert (await face.ask("GET", f"{URL}?action=dance", who)).json()["field"] == "action"
    assert (await face.ask("GET", f"{URL}?since=yesterday", who)).status == 422
    assert (await face.ask("GET", f"{URL}?cursor=WyJ4Iiwx", who)).code == "bad-cursor"
    assert (await face.ask("GET", f"{URL}?since=2026-01-01T00:00:00Z&until=2026-12-01", who)).status == 200


@pytest.mark.parametrize("form", ["cadf", "raw"])
async def test_an_export_proves_itself(face: Face, tmp_path: Path, form: str) -> None:
    """As the command's does."""
    await signed(face, tmp_path)
    who = await face.person("aud", AUDITOR)
    answer = await face.ask("GET", f"{URL}/export?format={form}", who)
    lines = answer.body.decode().splitlines(keepends=True)
    found = Exported([KEY.public], None).verified(lines)

    assert answer.headers["content-type"].startswith("application/jsonl")
    assert (found.flaws, found.records, found.checkpoints) == ((), 8, 1)


async def test_checkpoints_sinks_and_a_verification(face: Face, tmp_path: Path) -> None:
    """Listed and done."""
    await signed(face, tmp_path)
    who = await face.person("aud", AUDITOR)
    (shown,) = (await face.ask("GET", f"{URL}/checkpoints", who)).json()["items"]
    verdict = (await face.ask("POST", f"{URL}/verify", who)).json()

    assert (shown["number"], json.loads(shown["checkpoint"])["records"]) == (1, 8)
    assert (await face.ask("GET", f"{URL}/sinks", who)).json() == {"items": [], "next": None}
    assert (verdict["sound"], verdict["records"], verdict["last_checkpoint"]) == (True, 8, 1)


async def test_whoever_follows_gets_what_is_written_until_the_right_is_gone(face: Face) -> None:
    """As server-sent events, whose identifiers go on where a connection has ended."""
    prod = next(each for each in await face.catalog.instances() if each.name == "prod")
    token = await face.person("aud", AUDITOR)
    premises = face.app.premises
    who = await premises.recognise(token, "192.0.2.7:1", "c")
    visit = Visit(
        administration=Administration(face.catalog, {}, who, premises.clock),
        catalog=face.catalog,
        back_office=NobodyThere(),
        now=0,
        address="192.0.2.7:1",
        correlation="c",
        token=token,
    )
    events = journal._followed(visit, premises, Wanted(instance="prod"), 6)
    async with asyncio.timeout(WITHIN):
        begun, caught_up = await anext(events), await anext(events)
        await written(face, prod, 1)
        event = await anext(events)
        key = (await face.catalog.api_keys())[0]
        revoked = PeopleChanges(api_keys=(replace(key, revoked_at=key.created_at + 1),))
        await face.catalog.commit(Unit(entries=(), people=revoked))
        rest = [each async for each in events]

    assert (begun, caught_up) == (": following\n\n", "id: 8\n\n")
    assert event.startswith("id: 9\ndata: {")
    assert '"id":"prod-0"' in event
    assert rest == []
