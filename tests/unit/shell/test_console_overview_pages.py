"""The pages of overview and server: what whoever looks may see, that nobody is waited for, and no slip replaces."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.unit.shell.test_console_needs import APPROVAL, DAY, NODE, STRANGER, a_trial, a_worker, configured

from keyrack.domain.rights import PROOF_LASTS, Grant, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.back_office import KeyManagerTold, OnBehalf, WorkerHealth
from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import ClusterChanges, Report
from keyrack.ports.key_affairs import Fetch, FetchesRead, KeyAffairs
from keyrack.service.office.refusals import ProofNeeded
from keyrack.shell.console.rooms.overview import needs as judged
from keyrack.shell.metrics.series import Point
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.web.certificate_acts import FILE_ACTS
from keyrack.testing.catalog_values import ONE, TWO, certificate, entry, instance, key
from keyrack.testing.certificates import Algorithm, authority, server
from keyrack.testing.clock import Clock
from keyrack.testing.people import House
from keyrack.testing.rest import Answer, Face, NobodyThere, open_face


@dataclass(slots=True)
class Office(NobodyThere):
    """A back office that answers, or keeps everybody waiting; and what was asked of it."""

    hangs: bool = False
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def health(self) -> Sequence[WorkerHealth]:
        """One process, which unwraps with the root key of the first instance."""
        if self.hangs:
            await asyncio.sleep(30)
        at = int(time.time())
        return [a_worker(at=at, trials=(a_trial(at=at),))]

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """One."""
        return [KeyManagerTold(name="embedded", type="embedded", healthy=True)]

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """It is done."""
        self.asked.append((act, arguments))
        return {"pem": "-----BEGIN CERTIFICATE REQUEST-----"}


@dataclass(slots=True)
class Place:
    """The console over a catalog with two instances."""

    face: Face
    house: House
    office: Office
    tokens: dict[str, str] = field(default_factory=dict)

    async def person(self, name: str, *grants: Grant) -> str:
        """Somebody who has logged in."""
        await self.house.person(name, *grants)
        self.tokens[name] = (await self.house.log_in(name)).token
        return name

    async def get(self, who: str, path: str) -> Answer:
        """A page."""
        headers = {"accept": "text/html", "cookie": f"{COOKIE}={self.tokens[who]}"}
        return await self.face.ask("GET", path, headers=headers)

    async def read(self, who: str, path: str = "/") -> str:
        """What a page says, without its markup."""
        answer = await self.get(who, path)
        assert answer.status == 200, answer.body[-2000:]
        text = re.sub(r"<(script|style).*?</\1>", "", answer.body.decode(), flags=re.DOTALL)
        return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", text)))

    async def post(self, who: str, path: str, **fields: str) -> Answer:
        """A form."""
        token = self.tokens[who]
        headers = {
            "accept": "text/html",
            "cookie": f"{COOKIE}={token}",
            "content-type": "application/x-www-form-urlencoded",
        }
        body = urlencode({"csrf": csrf_of(token), **fields}).encode()
        return await self.face.ask("POST", path, headers=headers, raw=body)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    office, config, clock = Office(), configured(tmp_path), Clock(time.time())
    pair = server(authority(), algorithm=Algorithm.EC_P256)
    for path, content in ((config.kmip.certificate, pair.pem), (config.kmip.key, pair.key_pem)):
        config.path(path).parent.mkdir(exist_ok=True)
        config.path(path).write_bytes(content)
    async with open_face(tmp_path, back_office=office, config=config) as face:
        house = House(face.catalog, clock=clock)
        face.app.premises.passwords = house.passwords
        two = replace(instance(TWO, "two"), root_key="another")
        await face.catalog.commit(
            Unit(
                entries=(),
                instances=(instance(), two),
                certificates=(certificate(), certificate("c" * 64, TWO)),
                inserted=(key(), key("k2", TWO), key("k3", TWO)),
                admissions=AdmissionChanges(seen=(replace(STRANGER, last_at=house.now),)),
                key_affairs=KeyAffairs(approvals=(replace(APPROVAL, expires_at=house.now + DAY),)),
            )
        )
        made = Place(face, house, office)
        await made.person("mara", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
        yield made


async def test_the_first_page_tells_everything_to_whoever_may_see_it(place: Place) -> None:
    said = await place.read("mara")
    assert "A certificate was shown that nobody trusts" in said
    assert "An act waits for you as the second person adam asked for" in said
    assert "in 1.5 ms" in said
    assert "not handed out after at most 35 seconds" in said
    assert "until it restarts" in said
    assert "Certificates by days left" in said
    assert "Next steps" not in said


async def test_whoever_sees_one_instance_hears_of_no_other(place: Place) -> None:
    await place.face.catalog.commit(Unit(entries=(entry("Revoke"), entry("Revoke", instance=TWO, target="k2"))))
    await place.face.app.premises.sampler.sample()
    await place.person("vera", Grant(Role.VIEWER, ONE))
    said = await place.read("vera")
    assert "1 key" in said
    assert "revoked by a client · one" in said
    for foreign in ("two", "k2", "cccc", "kmip-0", "192.0.2.9", "Backups", "At work", "adam", "Key manager embedded"):
        assert foreign not in said.removeprefix("x"), foreign
    both = await place.read("mara")
    assert "revoked by a client · two" in both
    for path in ("/server", "/live/server", "/live/series.json", "/live/overview/minutes", "/server/findings"):
        assert (await place.get("vera", path)).status == 403, path


async def test_nobody_who_asked_is_told_to_agree(place: Place) -> None:
    await place.person("adam", Grant(Role.ADMINISTRATOR))
    assert "waits for you" not in await place.read("adam")
    await place.person("vera", Grant(Role.VIEWER))
    assert "waits for you" not in await place.read("vera")


async def test_a_new_deployment_says_what_comes_next(tmp_path: Path) -> None:
    async with open_face(tmp_path, back_office=Office(), config=configured(tmp_path)) as face:
        house = House(face.catalog, clock=Clock(time.time()))
        empty = Place(face, house, Office())
        await empty.person("mara", Grant(Role.ADMINISTRATOR))
        await empty.person("vera", Grant(Role.VIEWER, ONE))
        answer = (await empty.get("mara", "/")).body.decode()
        assert 'href="/instances/new"' in answer
        assert "You see no instance yet" in await empty.read("vera")
        await face.catalog.commit(Unit(entries=(), instances=(instance(),)))
        assert 'href="/connect"' in (await empty.get("mara", "/")).body.decode()


async def test_no_page_waits_for_a_serving_process_that_hangs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it is being asked; and when that lasts, that this is what is wrong."""
    place.office.hangs = True
    began = time.monotonic()
    assert "Being asked" in await place.read("mara")
    await place.get("mara", "/server")
    assert time.monotonic() - began < 2
    monkeypatch.setattr(judged, "PATIENT", 0.05)
    assert "The serving processes keep us waiting" in await place.read("mara", "/live/overview")


async def test_the_numbers_of_the_plots_have_their_names_and_no_more_points_than_fit(place: Place) -> None:
    rings = place.face.app.premises.sampler.rings
    for at in range(0, 40_000, 10):
        rings.add(Point(at=at, seconds=10, requests={f"Op {at % 7}": 1.0}, messages=1, waited={"catalog": 0.5}, keys=3))
    told = (await place.get("mara", "/live/series.json?span=hour")).json()
    assert 300 < len(told["at"]) <= 361
    assert [each["name"] for each in told["plots"]["latency"]][:3] == ["Keyrack itself", "Database", "Key manager"]
    assert len(told["plots"]["requests"]) == 5
    assert all(len(line["values"]) == len(told["at"]) for lines in told["plots"].values() for line in lines)
    assert told["plots"]["latency"][1]["values"][0] == 500
    assert len((await place.get("mara", "/live/series.json?span=day")).json()["at"]) <= 289
    assert len((await place.get("mara", "/live/series.json?span=../x")).json()["at"]) <= 361
    assert "500" in await place.read("mara", "/live/overview/minutes")


async def test_the_servers_certificate_is_not_replaced_by_a_slip(place: Place) -> None:
    """Nothing is asked of the server before the deployment's name is typed; what was typed stays, but a key."""
    await place.person("vera", Grant(Role.VIEWER))
    assert (await place.get("vera", "/server")).status == 200
    assert (await place.get("vera", "/server/certificate/renew")).status == 403
    assert (await place.post("vera", "/server/certificate/renew", confirmation="rest")).status == 403
    first = await place.post("mara", "/server/certificate/renew", names="kms.example.com", days="90")
    assert first.status == 409
    assert b"kms.example.com</textarea>" in first.body
    assert b"type: rest" in first.body
    wrong = await place.post("mara", "/server/certificate/replace", certificate="PEM", private_key="SECRET-KEY")
    assert wrong.status == 409
    assert b"SECRET-KEY" not in wrong.body
    assert not place.office.asked
    odd = await place.post("mara", "/server/certificate/renew", days="many", confirmation="rest")
    assert (odd.status, place.office.asked) == (422, [])
    done = await place.post(
        "mara", "/server/certificate/renew", names="a.example, b.example", days="90", confirmation="rest"
    )
    assert (done.status, done.headers["location"]) == (303, "/server?done=server-certificate")
    assert place.office.asked == [("server-certificate.renew", {"names": ["a.example", "b.example"], "days": 90})]
    request = await place.post("mara", "/server/certificate/request")
    assert b"BEGIN CERTIFICATE REQUEST" in request.body


@pytest.mark.parametrize("act", ["server-certificate.renew", "server-certificate.install"])
async def test_a_log_in_that_was_left_open_replaces_no_certificate(place: Place, act: str) -> None:
    """The serving process asks for the proof itself, whoever sends it the act."""
    config = place.face.app.premises.config
    assert config is not None
    before = config.path(config.kmip.certificate).read_bytes()
    old = replace(place.house.at_machine().administrator, proved_at=place.house.now - PROOF_LASTS - 1)
    with pytest.raises(ProofNeeded):
        await FILE_ACTS[act](config, place.house.as_administrator(old), {"certificate": "PEM"})
    assert config.path(config.kmip.certificate).read_bytes() == before


async def test_findings_of_people_are_for_those_who_may_see_people(place: Place) -> None:
    await place.person("vera", Grant(Role.VIEWER))
    seen, all_of_them = await place.read("vera", "/server/findings"), await place.read("mara", "/server/findings")
    assert "Clients of one" in seen
    assert "can administer" in all_of_them
    assert "can administer" not in seen
    assert "192.0.2.9" not in seen


async def test_nodes_copies_and_sinks_are_told_on_both_pages(place: Place) -> None:
    now = place.house.now
    alive = replace(NODE, name="n1", token="u", seen_at=now)
    report = Report(kind="backup", at=now - 60, good=True, told="lies in backups", keys=7)
    for changes in (
        ClusterChanges(pulse=replace(NODE, seen_at=now - 60)),
        ClusterChanges(pulse=alive),
        ClusterChanges(report=report),
        ClusterChanges(report=replace(report, kind="proof", good=False, told="one did not open")),
    ):
        await place.face.catalog.commit(Unit(entries=(), cluster=changes))
    first, server_page = await place.read("mara"), await place.read("mara", "/server")
    assert "Node n2 is silent" in first
    assert "A copy of a key did not open when it was tried" in first
    assert "alone" in first  # the plots are one node's
    for said in (first, server_page):
        assert re.search("n1 .{0,20}Alive", said)
        assert re.search("n2 .{0,20}Silent", said)
        assert "7 keys · Lies in backups" in said
    assert re.search("Sink archive .{0,40}record", server_page)


@pytest.mark.slow
async def test_a_hundred_thousand_keys_do_not_slow_the_first_page(place: Place) -> None:
    for begin in range(0, 100_000, 2_000):
        made = tuple(key(f"{begin + at:08x}", TWO) for at in range(2_000))
        fetches = [
            Fetch(unique_identifier=each.unique_identifier, at=1, initiator="x", address="y", count=1) for each in made
        ]
        await place.face.catalog.commit(Unit(entries=(entry(),), inserted=made))
        read = await place.face.catalog.journal_end()
        await place.face.catalog.catch_up()
        stretch = FetchesRead(behind=read, up_to=read, fetches={TWO: fetches})
        await place.face.catalog.commit(Unit(entries=(), key_affairs=KeyAffairs(read=stretch)))
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert "100,00" in await place.read("mara")
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.3
