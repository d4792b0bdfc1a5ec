"""The console's journal and people, page by page and around the pages: who may what, what is found, what is told."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from keyrack.domain.cadf_actions import ADMINISTRATION
from keyrack.domain.journal import Entry
from keyrack.domain.people import Person
from keyrack.domain.rights import PROOF_LASTS, Grant, Right, Role
from keyrack.ports.catalog import Unit
from keyrack.service.journal.exported import Exported
from keyrack.service.people import api_keys, persons
from keyrack.service.people.passwords import Passwords
from keyrack.shell.config.whole import load
from keyrack.shell.console.rooms.activity_words import NAMED, choices
from keyrack.shell.console.rooms.people_words import MEANINGS
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.testing.clock import Clock
from keyrack.testing.people import CHEAP, PASSWORD, House
from keyrack.testing.rest import Answer, Face, open_face

CONFIGURATION: Final = """
[deployment]
id = "tests"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = { key_file = "keystore.key" }
"""
ROLES: Final[Mapping[str, Sequence[Role]]] = {
    "mara": (Role.ADMINISTRATOR, Role.SECURITY_OFFICER),
    "adam": (Role.ADMINISTRATOR,),
    "sofia": (Role.SECURITY_OFFICER,),
    "omar": (Role.OPERATOR,),
    "vera": (Role.VIEWER,),
    "aud": (Role.AUDITOR,),
}
BEGUN: Final = 1_790_000_000_000
HTML: Final = {"accept": "text/html", "host": "localhost"}


@dataclass(slots=True)
class Place:
    """The console over a catalog with two instances, their journal, and people who are logged in."""

    face: Face
    house: House
    instances: dict[str, str] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    async def token(self, name: str) -> str:
        """Of this person's log-in."""
        if name not in self._tokens:
            self._tokens[name] = (await self.house.log_in(name)).token
        return self._tokens[name]

    async def get(self, name: str, path: str, **headers: str) -> Answer:
        """A page, as this person."""
        cookie = f"{COOKIE}={await self.token(name)}"
        return await self.face.ask("GET", path, headers={**HTML, "cookie": cookie, **headers})

    async def post(self, as_whom: str, path: str, /, **typed: str) -> Answer:
        """A form, as this person."""
        token = await self.token(as_whom)
        sent = {
            **HTML,
            "cookie": f"{COOKIE}={token}",
            "origin": "https://localhost",
            "content-type": "application/x-www-form-urlencoded",
        }
        raw = urlencode({"csrf": csrf_of(token), **{key.replace("_", "-"): value for key, value in typed.items()}})
        return await self.face.ask("POST", path, headers=sent, raw=raw.encode())

    async def person(self, name: str) -> Person:
        """As the catalog has it."""
        found = await self.face.catalog.person_called(name)
        assert found is not None
        return found

    async def write(self, *entries: Entry) -> None:
        """Into the journal."""
        await self.face.catalog.commit(Unit(entries=entries))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """With four fetches in each instance."""
    (tmp_path / "keyrack.toml").write_text(CONFIGURATION)
    clock = Clock()
    passwords = Passwords(CHEAP)
    async with open_face(
        tmp_path, config=load(tmp_path / "keyrack.toml"), clock=lambda: int(clock() * 1000), passwords=passwords
    ) as face:
        made = Place(face, House(face.catalog, passwords, clock))
        for name in ("prod", "lab"):
            made.instances[name] = (await face.instance(name)).identifier
            await made.write(*(fetch(made.instances[name], f"{name}-key-{number}", number) for number in range(4)))
        for name, roles in ROLES.items():
            made.people[name] = await made.house.person(name, *map(Grant, roles))
        yield made


def fetch(instance: str, target: str, number: int = 0, **fields: str) -> Entry:
    """A client's Get."""
    said = {"outcome": "success", "initiator": "CertificateID-" + "ab" * 32, "address": "192.0.2.9:4711", **fields}
    return Entry(action="Get", instance=instance, target=target, at=BEGUN + number, detail={"kmip": "1.1"}, **said)


def told(answer: Answer) -> str:
    """The words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.body.decode())).split())


def numbers(answer: Answer) -> list[int]:
    """Of the records on a page."""
    return [int(each) for each in re.findall(r'id="record-(\d+)"', answer.body.decode())]


def link(answer: Answer, title: str) -> str:
    """Where a link of this title leads."""
    found = re.search(rf'href="\?([^"]*)"[^>]*>{title}<', answer.body.decode())
    assert found is not None, title
    return "/activity?" + unescape(found[1])


async def test_records_are_found_by_what_is_typed_and_the_address_says_it(place: Place) -> None:
    """By key, by whom, by instance, address, kind, act, outcome; what is wrong is told beside the field."""
    prod = place.instances["prod"]
    await place.write(fetch(prod, "strange", 9, outcome="Permission Denied", address="198.51.100.7:1"))
    for query, count in (
        ("key=prod-key-2", 1),
        ("key=prod-key", 4),
        ("instance=lab", 4),
        ("instance=prod&kind=data", 5),
        ("who=ABAB", 9),
        ("who=AB:AB:AB", 9),
        ("who=person-mara", 0),
        ("address=198.51", 1),
        ("outcome=failure&kind=data", 1),
        ("action=Get", 9),
        ("action=person.add", 6),
        ("text=STRANGE", 1),
        (f"since={BEGUN_TEXT}&until={BEGUN_TEXT}", 0),
    ):
        answer = await place.get("aud", f"/activity?{query}")
        assert (answer.status, len(numbers(answer))) == (200, count), query
    wrong = await place.get("aud", "/activity?since=yesterday&who=somebody")
    assert wrong.status == 422
    assert "This is no time" in told(wrong)
    assert 'value="somebody"' in wrong.body.decode()
    assert (await place.get("aud", "/activity?action=dance")).status == 422


BEGUN_TEXT: Final = "2026-09-21T14:13"


async def test_pages_lead_both_ways_and_meet(place: Place) -> None:
    """Older, newer and newest show each record once."""
    await place.write(*(fetch(place.instances["lab"], f"more-{number:03}", number) for number in range(100)))
    first = await place.get("aud", "/activity?key=more-")
    second = await place.get("aud", link(first, "Older"))
    third = await place.get("aud", link(second, "Older"))
    back = await place.get("aud", link(third, "Newer"))

    assert [len(numbers(each)) for each in (first, second, third)] == [35, 35, 30]
    assert numbers(back) == numbers(second)
    assert len({*numbers(first), *numbers(second), *numbers(third)}) == 100
    assert numbers(await place.get("aud", link(back, "Newest"))) == numbers(first)


async def test_a_long_look_says_how_far_it_went_and_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the journal is, a page is answered soon."""
    monkeypatch.setattr("keyrack.service.journal.reading.STRIDE", 4)
    monkeypatch.setattr("keyrack.service.journal.reading.look.__kwdefaults__", LOOK_AT_ONCE)
    answer = await place.get("aud", "/activity?key=prod-key-0")
    looks = 1
    while "Look further back" in told(answer):
        assert "Looked back as far as" in told(answer)
        assert not numbers(answer)
        answer = await place.get("aud", link(answer, "Look further back"))
        looks += 1
    assert looks > 2
    assert len(numbers(answer)) == 1


LOOK_AT_ONCE: Final = {"before": None, "after": None, "limit": 50, "patience": 0.0}


async def test_nobody_reads_more_of_the_journal_than_they_may(place: Place) -> None:
    """Through the page, its live part, one record and the file: without the right nothing, with one for an instance
    that instance's; another one is as one that is not there."""
    await place.house.person("scoped", Grant(Role.AUDITOR, place.instances["prod"]))
    mine = await place.get("scoped", "/activity")
    foreign = next(each for each in numbers(await place.get("aud", "/activity?instance=lab")))
    hidden = (("scoped", foreign), ("aud", 999))
    file = await place.get("scoped", "/activity/export?form=events")

    for path in ("/activity", "/live/activity?after=0", "/activity/1", "/activity/export"):
        assert (await place.get("vera", path)).status == 403, path
        assert (await place.get("omar", path)).status == 403, path
    assert len(numbers(mine)) == 4
    assert "lab" not in told(mine)
    assert "Verify now" not in told(mine)
    assert [(await place.get(name, f"/activity/{number}")).status for name, number in hidden] == [404, 404]
    assert (await place.get("scoped", "/activity?instance=lab")).status == 404
    assert {json.loads(each)["target"]["id"][:4] for each in file.body.splitlines()} == {"prod"}
    assert (await place.get("scoped", "/live/activity/proof")).status == 403
    tab = await place.get("scoped", f"/instances/{place.instances['prod']}/activity")
    assert len(numbers(tab)) == 4
    assert (await place.get("scoped", f"/instances/{place.instances['lab']}/activity")).status == 404


async def test_whoever_follows_is_told_when_something_fits_and_only_then(place: Place) -> None:
    """The part of the page that asks again answers with nothing, else with the newest page."""
    end = await place.face.catalog.journal_end()
    await place.token("aud")
    end = await place.face.catalog.journal_end()
    assert (await place.get("aud", f"/live/activity?follow=yes&after={end}")).status == 204
    await place.write(fetch(place.instances["lab"], "just-now"))
    news = await place.get("aud", f"/live/activity?follow=yes&after={end}")
    assert (news.status, "just-now" in told(news)) == (200, True)
    assert f"after={end + 1}" in news.body.decode()
    assert (await place.get("aud", f"/live/activity?follow=yes&instance=prod&after={end}")).status == 204


async def test_the_whole_of_a_record(place: Place) -> None:
    """Its fields, its place, what is kept; what a client has called something is never markup."""
    evil = "<script>alert(1)</script>\x1b[31m"
    await place.write(fetch(place.instances["prod"], evil))
    number = numbers(await place.get("aud", "/activity"))[0]
    page = await place.get("aud", f"/activity/{number}")
    text = page.body.decode()
    (record,) = await place.face.catalog.journal(number - 1, 1)

    assert record.hash.hex() in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "journal.sequence" in told(page)
    assert "none yet" in told(page)


async def test_files_parse_and_hold_what_was_asked_for(place: Place) -> None:
    """CSV without formulas, events, and events with what proves them."""
    await place.write(fetch(place.instances["prod"], '=HYPERLINK("http://x")', initiator="@SUM(1)"))
    table = (await place.get("aud", "/activity/export?form=csv&instance=prod")).body.decode()
    events = await place.get("aud", "/activity/export?form=events&instance=prod&key=prod-key-1")
    proof = await place.get("aud", "/activity/export?form=proof&instance=prod")
    rows = list(csv.DictReader(io.StringIO(table)))

    assert [row["target"] for row in rows] == [f"prod-key-{number}" for number in range(4)] + [
        '\'=HYPERLINK("http://x")'
    ]
    assert rows[-1]["initiator"] == "'@SUM(1)"
    assert [json.loads(each)["target"]["id"] for each in events.body.splitlines()] == ["prod-key-1"]
    assert events.headers["content-disposition"] == 'attachment; filename="journal.jsonl"'
    found = Exported([], None).verified(proof.body.decode().splitlines(keepends=True))
    assert found.flaws == ()
    assert (await place.get("aud", "/activity/export?form=pdf")).status == 422


async def test_a_verification_is_begun_told_of_and_remembered(place: Place) -> None:
    """By who may; another process reads of it in the journal."""
    for name in ("vera", "omar"):
        assert (await place.post(name, "/activity/verify")).status == 403
    assert "Not verified yet" in told(await place.get("aud", "/activity"))
    begun = await place.post("aud", "/activity/verify")
    assert (begun.status, begun.headers["location"]) == (303, "/activity#proof")
    page = await proved(place)
    assert "by aud" in page
    assert "It is" in page
    place.face.app.premises.verifying = type(place.face.app.premises.verifying)()
    assert "by aud" in told(await place.get("mara", "/activity"))


async def proved(place: Place) -> str:
    """What the panel says when nothing is under way any more."""
    async with asyncio.timeout(5):
        while "Being verified" in (page := told(await place.get("aud", "/live/activity/proof"))):
            await asyncio.sleep(0.01)
    return page


ACTS: Final[Mapping[str, Mapping[str, str]]] = {
    "grant": {"role": "operator"},
    "take": {"role": "viewer"},
    "lock": {},
    "unlock": {},
    "link": {},
    "log-ins": {},
    "api-key": {"api_key": "tests"},
    "remove": {},
}
"""What is typed for each."""

OF_ONES_OWN: Final = {"log-ins", "api-key"}
"""What everybody may end of the own."""


async def test_only_an_administrator_changes_people(place: Place) -> None:
    """Through the page it is offered to nobody else, and around the page it is refused to everybody else; nothing has
    changed then."""
    for act, typed in ACTS.items():
        name = f"target-{act}"
        await place.house.person(name, Grant(Role.VIEWER))
        await place.token(name)
        await with_key(place, name)
        before = await state_of(place, name)
        url, form = f"/people/{before[0].identifier}", {**typed, **({"name": name} if act == "remove" else {})}
        for who in ("sofia", "omar", "vera", "aud", *(() if act in OF_ONES_OWN else (name,))):
            assert (await place.post(who, f"{url}/{act}", **form)).status == 403, (act, who)
            assert await state_of(place, name) == before, (act, who)
        assert (await place.get("aud", f"{url}/{act}")).status == 403, act
        done = await place.post("adam", f"{url}/{act}", **form)
        assert done.status == (200 if act == "link" else 303), told(done)
        assert (await state_of(place, name) != before) == (act not in {"link", "unlock"}), act
        assert ("set-password#" in told(done)) == (act == "link")


async def test_what_nobody_may_do_is_not_offered(place: Place) -> None:
    """The page of a person has no form for who only looks; who may see nobody sees no page."""
    url = f"/people/{place.people['vera'].identifier}"
    for who in ("sofia", "aud"):
        assert "<form" not in main_of(await place.get(who, url)), who
        assert (await place.get(who, "/people/new")).status == 403
        assert "/people/new" not in main_of(await place.get(who, "/people"))
    for who in ("omar", "vera"):
        assert (await place.get(who, "/people")).status == 403
    assert "<form" in main_of(await place.get("adam", url))


async def with_key(place: Place, name: str) -> None:
    """An API key of this person's, made at the machine."""
    who = await place.person(name)
    await api_keys.create(place.house.at_machine(), place.face.catalog, who, "tests")


async def state_of(place: Place, name: str) -> tuple[Person, int, Sequence[object]]:
    """What acts change."""
    who = await place.person(name)
    book = place.face.catalog
    return (
        who,
        len(await book.login_sessions(who.identifier)),
        [each.revoked_at for each in await book.api_keys(who.identifier)],
    )


def main_of(answer: Answer) -> str:
    """The page itself, without its frame."""
    return answer.body.decode().partition("<main")[2]


async def test_an_old_proof_is_asked_for_again_and_what_was_asked_for_stays(place: Place) -> None:
    """And with the password it is done."""
    url = f"/people/{place.people['vera'].identifier}"
    await place.token("adam")
    place.house.clock.go_on(PROOF_LASTS + 1)
    asked = await place.post("adam", f"{url}/grant", role="operator", instance=place.instances["lab"])
    wrong = await place.post("adam", f"{url}/grant", role="operator", proof="no such password")
    new = await place.post("adam", "/people/new", name="nora", role="viewer")
    done = await place.post("adam", f"{url}/grant", role="operator", instance=place.instances["lab"], proof=PASSWORD)

    assert asked.status == 403
    assert "Your password, once more" in told(asked)
    assert f'name="instance" value="{place.instances["lab"]}"' in asked.body.decode()
    assert wrong.status == 401
    assert new.status == 403
    assert 'value="nora"' in new.body.decode()
    assert await place.face.catalog.person_called("nora") is None
    assert done.status == 303
    assert Grant(Role.OPERATOR, place.instances["lab"]) in (await place.person("vera")).grants


async def test_what_the_law_of_people_refuses_is_told(place: Place) -> None:
    """Oneself, a name that is taken or is none, a removal without its name, the last administrator."""
    adam, mara = place.people["adam"].identifier, place.people["mara"].identifier
    oneself = await place.post("adam", f"/people/{adam}/take", role="administrator")
    taken = await place.post("adam", "/people/new", name="vera")
    none = await place.post("adam", "/people/new", name="Übel!", display="Somebody")
    unsure = await place.post("adam", f"/people/{mara}/remove", name="")
    assert (oneself.status, "Nobody changes the own roles" in told(oneself)) == (403, True)
    assert (taken.status, "There is a person 'vera' already" in told(taken)) == (409, True)
    assert (none.status, 'value="Somebody"' in none.body.decode()) == (422, True)
    assert (unsure.status, "That is not the person's name" in told(unsure)) == (422, True)
    assert (await place.person("mara")).removed_at is None

    key = await place.face.person("robot", Grant(Role.ADMINISTRATOR))
    assert (await place.post("adam", f"/people/{mara}/lock")).status == 303
    sent = {"content-type": "application/x-www-form-urlencoded", "origin": "https://localhost", **HTML}
    last = await place.face.ask(
        "POST",
        f"/people/{adam}/lock",
        headers={**sent, "cookie": f"{COOKIE}={key}"},
        raw=urlencode({"csrf": csrf_of(key)}).encode(),
    )
    assert (last.status, "is the last administrator who can log in" in told(last)) == (422, True)


async def test_somebody_is_added_with_roles_and_a_link_that_is_shown_once(place: Place) -> None:
    """The page of the person never shows it again."""
    made = await place.post("adam", "/people/new", name="nora", display="Nora N.", role="auditor", instance="")
    who = await place.person("nora")
    page = await place.get("adam", f"/people/{who.identifier}")
    assert (made.status, "set-password#" in told(made)) == (200, True)
    assert who.grants == {Grant(Role.AUDITOR)}
    assert made.headers["cache-control"] == "no-store"
    assert "No password yet" in told(page)
    assert "#" not in told(page)
    listed = told(await place.get("aud", "/people?name=nor"))
    assert ("nora" in listed, "vera" in listed) == (True, False)


async def test_the_table_of_rights_is_the_one_that_the_code_asks(place: Place) -> None:
    """Each right has its row, and its meaning is the one of the table."""
    page = await place.get("aud", "/people/rights")
    rows = page.body.decode().count('scope="row"')
    assert (page.status, rows) == (200, len(Right))
    assert (await place.get("vera", "/people/rights")).status == 403
    assert {right.title: right.meaning.lower() for right in Right} == {
        name: said.lower() for name, said in MEANINGS.items()
    }


def test_each_act_that_is_written_has_words() -> None:
    """And each of them can be asked for."""
    offered = {name for _, some in choices() for name, _ in some}
    assert set(NAMED) <= set(ADMINISTRATION)
    assert set(NAMED) <= offered


async def test_one_who_is_removed_is_shown_where_asked_for(place: Place) -> None:
    """The journal still knows the name."""
    who = place.people["omar"]
    await persons.remove(place.house.at_machine(), place.face.catalog, who)
    assert "omar" not in told(await place.get("aud", "/people"))
    assert "omar" in told(await place.get("aud", "/people?removed=yes"))
    assert "Removed" in told(await place.get("adam", f"/people/{who.identifier}"))
