"""Destructive acts of the console: who, with which words and which proof, through the page and around it.

Every case has a target of its own. Whatever is not done leaves the target as it was.
"""

import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from keyrack.domain.instances import Instance, InstanceStatus, Storage, TrustedAuthority
from keyrack.domain.people import Person
from keyrack.domain.rights import PROOF_LASTS, Grant, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.shell.config.whole import load
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.rest.v1.instances import tag_of
from keyrack.spec.enumerations import State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing import console_acts
from keyrack.testing.catalog_values import certificate, entry, key, numbered
from keyrack.testing.certificates import Identity, authority, client
from keyrack.testing.clock import Clock
from keyrack.testing.console_acts import ACTS, MACHINE, ConsoleAct
from keyrack.testing.people import House
from keyrack.testing.rest import Answer, Face, asked, open_face

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "console-acts.md"
CONFIGURATION: Final = """
[deployment]
id = "matrix"
directory = "{0}"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = {{ key_file = "keystore.key" }}
"""
NOBODY, HERE, ELSEWHERE = "nobody", "here ", "elsewhere "
OUTCOMES: Final = {403: "forbidden", 404: "hidden", 409: "words", 422: "wrong words", 202: "waits"}
AUTHORITY: Final = authority("an authority of another house")
NEW_AUTHORITY: Final = authority("an authority to trust")
OTHER_INSTANCE: Final = str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Case:
    """Somebody who tries."""

    act: ConsoleAct
    who: str
    """A role; one for this instance or for another one alone; or nobody."""
    words: str = "right"
    proof: str = "fresh"
    number: int = 0

    @property
    def role(self) -> Role:
        """The one that they have."""
        return Role(self.who.removeprefix(HERE).removeprefix(ELSEWHERE))

    @property
    def expected(self) -> str:
        """From the table, and from nothing else."""
        if self.who == NOBODY:
            return "log-in"
        if self.who.startswith(ELSEWHERE):
            return "hidden" if self.act.scoped else "forbidden"
        if self.role not in self.act.roles or (self.who.startswith(HERE) and not self.act.scoped):
            return "forbidden"
        asked = "words" if self.words == "none" and self.act.into == "confirmation" else "wrong words"
        lacking = ["proof"] * (self.proof == "old" and self.act.proved)
        lacking += [asked] * (bool(self.act.words) and self.words != "right")
        if self.act.words_first:
            lacking.reverse()
        return lacking[0] if lacking else "waits" if self.act.begins == "dual control" else "done"


def cases_of(act: ConsoleAct) -> Iterator[Case]:
    """Whoever may not tries it as well as it can be tried; whoever may, in every way."""
    yield Case(act, NOBODY)
    for role in Role:
        if role not in act.roles:
            yield Case(act, role)
            continue
        yield Case(act, HERE + role)
        yield Case(act, ELSEWHERE + role)
        in_every_way = role == min(act.roles)
        for proof in ("fresh", "old"):
            for words in ("none", "wrong", "right") if act.words and in_every_way else ("right",):
                yield Case(act, role, words, proof)


@dataclass(slots=True)
class Targets:
    """What one case is about."""

    instance: Instance
    number: int
    person: Person
    identity: Identity

    @property
    def key(self) -> str:
        return numbered(self.number)

    @property
    def machine(self) -> str:
        return f"vm-{self.number}"

    def words(self, act: ConsoleAct) -> str:
        return {MACHINE: self.machine, console_acts.INSTANCE: self.instance.name}.get(act.words, self.person.name)


@dataclass(slots=True)
class Ground:
    """The console over a real catalog, with people who have proved themselves just now, or a while ago."""

    face: Face
    house: House
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    _number: int = 0

    async def targets(self, act: ConsoleAct, dual_control_at: int | None = None) -> Targets:
        """New ones, as the act wants them to be."""
        self._number += 1
        number, begins = self._number, act.begins
        made = Instance(
            identifier=str(uuid.UUID(int=number)),
            name=f"i-{number}",
            status=InstanceStatus.INACTIVE if begins == "empty" else InstanceStatus.INSTALLED,
            key_manager="embedded",
            root_key="root",
            storage=Storage.CATALOG,
            created_at=1_700_000_000,
            dual_control_at=1 if begins == "dual control" else dual_control_at,
        )
        person = Person(
            identifier=str(uuid.uuid4()),
            name=f"p-{number}",
            grants=frozenset({Grant(Role.VIEWER)}),
            created_at=self.house.now,
        )
        targets = Targets(
            made, number, person, client(AUTHORITY, f"vc-{number}") if "/certificates/" in act.path else AUTHORITY
        )
        people = PeopleChanges(persons=(person,))
        if begins == "empty":
            await self.face.catalog.commit(Unit(entries=(), instances=(made,), people=people))
            return targets
        trusted = (anchor_of(made),) if begins == "authority" else ()
        await self.face.catalog.commit(
            Unit(
                entries=(entry(target=targets.key, instance=made.identifier, at=self.house.now * 1000),),
                instances=(made,),
                people=people,
                inserted=(_key(targets, begins),),
                certificates=(replace(certificate(f"{number:064x}", made.identifier), **_held(targets.identity)),),
                admissions=AdmissionChanges(authorities=trusted),
            )
        )
        return targets

    async def state(self, targets: Targets) -> tuple[Any, ...]:
        """Everything that an act of the table may change."""
        catalog, identifier = self.face.catalog, targets.instance.identifier
        return (
            [each for each in await catalog.instances() if each.identifier == identifier],
            [row.managed for row in await catalog.key_rows(identifier, [targets.key])],
            await catalog.certificates(identifier),
            await catalog.authorities(identifier),
            await catalog.barred(identifier),
            await catalog.person(targets.person.identifier),
        )

    async def send(self, case: Case, targets: Targets, **more: Any) -> Answer:
        """The form of the act, as the page would send it."""
        act = case.act
        values = {
            "instance": targets.instance.name,
            "key": targets.key,
            "certificate": targets.identity.fingerprint,
            "stranger": "f" * 64,
            "authority": AUTHORITY.fingerprint,
            "person": targets.person.identifier,
            "seen": tag_of(targets.instance),
            "pem": NEW_AUTHORITY.pem.decode(),
        }
        fields = {name: text.format(**values) for name, text in act.typed.items()}
        if act.words and case.words != "none":
            fields[act.into] = targets.words(act) if case.words == "right" else "something else"
        token = self.tokens.get((case.who, case.proof), "")
        answer = await self.post(act.path.format(**values), token, fields, **more)
        if act.shown_first and answer.status == 200 and "method" not in more:
            seen = re.search(r'name="seen" value="([^"]+)"', answer.body.decode())
            assert seen, answer.body
            return await self.post(act.path.format(**values), token, {**fields, "seen": seen[1]}, **more)
        return answer

    async def post(
        self,
        path: str,
        token: str,
        fields: Mapping[str, str],
        *,
        csrf: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Answer:
        """A form; ``csrf`` in the place of the log-in's own."""
        mine = csrf_of(token) if token and csrf is None else csrf or ""
        body = urlencode({"csrf": mine, **fields}).encode()
        sent = {
            "host": "localhost",
            "accept": "text/html",
            "content-type": "application/x-www-form-urlencoded",
            **({"cookie": f"{COOKIE}={token}"} if token else {}),
            **(headers or {}),
        }
        if method == "GET":
            return await asked(self.face.app, "GET", f"{path}?{body.decode()}", headers=sent)
        return await asked(self.face.app, "POST", path, headers={**sent, "content-length": str(len(body))}, body=body)


def _held(identity: Identity) -> Mapping[str, Any]:
    return {} if identity is AUTHORITY else {"fingerprint": identity.fingerprint, "der": identity.der}


def _key(targets: Targets, begins: str) -> Any:
    values: dict[str, Any] = {
        "x-Name": CustomValue(ItemType.TEXT_STRING, targets.machine),
        "x-Component": CustomValue(ItemType.TEXT_STRING, "Virtual Machine"),
    }
    if begins == "destroyed":
        values["Destroy Date"] = 1_700_000_100
    state = {"deactivated": State.DEACTIVATED, "destroyed": State.DESTROYED}.get(begins, State.ACTIVE)
    return replace(key(targets.key, targets.instance.identifier, values), state=state)


def anchor_of(instance: Instance) -> TrustedAuthority:
    """A trusted one that is no other authority's."""
    return TrustedAuthority(
        fingerprint=AUTHORITY.fingerprint,
        instance=instance.identifier,
        name="old",
        subject=AUTHORITY.certificate.subject.rfc4514_string(),
        not_before=1_600_000_000,
        not_after=1_900_000_000,
        der=AUTHORITY.der,
        added_at=1_700_000_000,
    )


def outcome_of(answer: Answer) -> str:
    """In the words of the table."""
    if answer.status == 303:
        return "log-in" if answer.headers["location"].startswith("/log-in") else "done"
    if answer.status == 403 and b'name="proof"' in answer.body:
        return "proof"
    return OUTCOMES.get(answer.status, str(answer.status))


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    (tmp_path / "keyrack.toml").write_text(CONFIGURATION.format(tmp_path))
    clock = Clock(time.time())
    config = load(tmp_path / "keyrack.toml")
    async with open_face(tmp_path, config=config, clock=lambda: int(clock() * 1000)) as face:
        house = House(face.catalog, clock=clock)
        face.app.premises.passwords = house.passwords
        yield Ground(face, house)


async def let_in(ground: Ground, most: int) -> None:
    """Each role, everywhere, for the first ``most`` instances alone, and for another instance alone."""
    here = [str(uuid.UUID(int=number)) for number in range(1, most + 1)]
    await ground.face.instance("another", identifier=OTHER_INSTANCE)
    names = {}
    for role in Role:
        for who, grants in (
            (str(role), (Grant(role),)),
            (HERE + role, tuple(Grant(role, each) for each in here)),
            (ELSEWHERE + role, (Grant(role, OTHER_INSTANCE),)),
        ):
            names[who] = who.replace(" ", "-")
            await ground.house.person(names[who], *grants)
            ground.tokens[who, "old"] = (await ground.house.log_in(names[who])).token
    ground.house.clock.go_on(PROOF_LASTS + 1)
    for who, name in names.items():
        ground.tokens[who, "fresh"] = (await ground.house.log_in(name)).token


async def test_every_act_comes_to_what_the_table_says(ground: Ground) -> None:
    """Each role × words × proof; what is refused changes nothing, what is done changes something."""
    cases = [case for act in ACTS for case in cases_of(act)]
    await let_in(ground, len(cases))
    wrong = []
    for case in cases:
        targets = await ground.targets(case.act)
        before = await ground.state(targets)
        outcome = outcome_of(await ground.send(case, targets))
        changed = await ground.state(targets) != before
        if (outcome, changed) != (case.expected, case.expected == "done"):
            told = f"{case.act.name}: {case.who}, {case.words} words, {case.proof} proof"
            wrong.append(f"{told}: {outcome}{', changed' if changed else ''} in the place of {case.expected}")
    assert not wrong, "\n".join(wrong)
    assert len(cases) > 200


async def test_around_the_page_nothing_is_done(ground: Ground) -> None:
    """Who may, with the right words and a fresh proof: as another site, a link or a program would have it sent."""
    await let_in(ground, 0)
    json = {"content-type": "application/json"}
    around: Mapping[str, tuple[dict[str, Any], str]] = {
        "without a token": ({"csrf": ""}, "forbidden"),
        "with the token of another log-in": ({"csrf": csrf_of("somebody else's")}, "forbidden"),
        "from another site": ({"headers": {"origin": "https://evil.example"}}, "forbidden"),
        "from no site": ({"headers": {"origin": "null"}}, "forbidden"),
        "from a page of another site": ({"headers": {"sec-fetch-site": "cross-site"}}, "forbidden"),
        "as a program's body": ({"headers": json}, "415"),
    }
    wrong = []
    for act in ACTS:
        case = Case(act, str(sorted(act.roles)[0]))
        targets = await ground.targets(act)
        before = await ground.state(targets)
        for how, (more, expected) in around.items():
            outcome = outcome_of(await ground.send(case, targets, **more))
            # A page that cannot even tell what its form was about is not there.
            if outcome not in {expected, "hidden"} or (outcome == "hidden" and expected != "415"):
                wrong.append(f"{act.name}, {how}: {outcome}")
        looked = await ground.send(case, targets, method="GET")
        if looked.status not in {200, 303, 404, 405}:
            wrong.append(f"{act.name}, as a link: {looked.status}")
        bearer = {"cookie": "", "authorization": f"Bearer {ground.tokens[case.who, 'fresh']}"}
        if outcome_of(await ground.send(case, targets, headers=bearer)) != "log-in":
            wrong.append(f"{act.name}: a bearer's token opens a page")
        if await ground.state(targets) != before:
            wrong.append(f"{act.name}: something was changed")
    assert not wrong, "\n".join(wrong)


async def test_a_key_is_reached_through_its_own_instance_alone(ground: Ground) -> None:
    """Another instance's key in the address of one's own, alone or among others: it is not there."""
    await let_in(ground, 1)
    for act in [each for each in ACTS if "/key" in each.path]:
        own, foreign = await ground.targets(act), await ground.targets(act)
        before = await ground.state(own), await ground.state(foreign)
        for keys in (foreign.key, f"{own.key} {foreign.key}"):
            mixed = replace_key(act, keys)
            case = Case(mixed, str(Role.SECURITY_OFFICER))
            answer = await ground.send(case, Targets(own.instance, foreign.number, own.person, own.identity))
            assert outcome_of(answer) == "hidden", (act.name, answer.status)
        assert before == (await ground.state(own), await ground.state(foreign))


def replace_key(act: ConsoleAct, keys: str) -> ConsoleAct:
    """The act on these keys, where its form names them."""
    return replace(act, typed={**act.typed, "keys": keys}) if "keys" in act.typed else act


TWO: Final = [act for act in ACTS if act.two]


@pytest.mark.parametrize("act", TWO, ids=[act.name for act in TWO])
async def test_under_dual_control_it_waits_for_another_person(ground: Ground, act: ConsoleAct) -> None:
    """Asked for, nothing is done; who has asked does not agree to it, nor who may not; another person's yes does it."""
    await let_in(ground, 0)
    targets = await ground.targets(act, dual_control_at=ground.house.now - 100_000)
    asker = str(sorted(act.roles)[0])
    before = await ground.state(targets)
    assert outcome_of(await ground.send(Case(act, asker), targets)) == "waits"
    assert await ground.state(targets) == before
    (approval,) = await ground.face.catalog.approvals(targets.instance.identifier)
    agree = f"/approvals/{approval.identifier}/agree"
    words = {"confirmation": targets.machine} if act.words == MACHINE else {}
    other = str(Role.ADMINISTRATOR if asker == Role.SECURITY_OFFICER else Role.SECURITY_OFFICER)

    async def tried(who: str, proof: str = "fresh", fields: Mapping[str, str] | None = None) -> str:
        token = ground.tokens.get((who, proof), "")
        return outcome_of(await ground.post(agree, token, words if fields is None else fields))

    refused = {
        "log-in": await tried(NOBODY),
        "forbidden": await tried(asker),
        "proof": await tried(other, "old"),
        "hidden": await tried(ELSEWHERE + other),
    }
    assert all(name == outcome for name, outcome in refused.items()), refused
    assert await tried(str(Role.VIEWER)) == "forbidden"
    if words:
        assert await tried(other, fields={"confirmation": "else"}) == "wrong words"
        assert await tried(other, fields={}) == "wrong words"
    assert await ground.state(targets) == before
    page = await asked(ground.face.app, "GET", f"/approvals/{approval.identifier}", headers=_as(ground, asker))
    assert "waits for a second person: not you" in page.body.decode()
    assert await tried(other) == "done"
    assert await ground.state(targets) != before
    assert await tried(other) == "words", "what is over is over"


def _as(ground: Ground, who: str) -> Mapping[str, str]:
    return {"host": "localhost", "accept": "text/html", "cookie": f"{COOKIE}={ground.tokens[who, 'fresh']}"}


async def test_who_turns_it_down_ends_it(ground: Ground) -> None:
    """Who has asked takes it back, and another turns it down; then nobody can agree."""
    await let_in(ground, 0)
    act = next(each for each in ACTS if each.name == "purge a key")
    for who, status in ((Role.VIEWER, "forbidden"), (Role.SECURITY_OFFICER, "done"), (Role.ADMINISTRATOR, "done")):
        targets = await ground.targets(act, dual_control_at=1)
        before = await ground.state(targets)
        assert outcome_of(await ground.send(Case(act, str(Role.SECURITY_OFFICER)), targets)) == "waits"
        (approval,) = await ground.face.catalog.approvals(targets.instance.identifier)
        token = ground.tokens[str(who), "fresh"]
        assert outcome_of(await ground.post(f"/approvals/{approval.identifier}/withdraw", token, {})) == status
        assert await ground.state(targets) == before


def test_the_document_is_the_table() -> None:
    """``docs/console-acts.md`` says what is tried here."""
    assert console_acts.markdown() in DOCUMENT.read_text(encoding="utf-8")
