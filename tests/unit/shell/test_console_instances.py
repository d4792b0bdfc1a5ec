"""The console's pages of instances: who may do what through them and around them, and what becomes of what is typed."""

import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Credential, Instance, InstanceStatus
from keyrack.domain.rights import PROOF_LASTS, Grant, Grants, Right, Role
from keyrack.ports.back_office import BackOfficeUnavailable, KeyManagerTold, OnBehalf, RootKeyTold
from keyrack.ports.catalog import Unit
from keyrack.service.office.administration import Administration
from keyrack.shell.config.whole import load
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.rest.v1.instances import tag_of
from keyrack.shell.web.acts import perform
from keyrack.testing.catalog_values import KEY, ONE, certificate, instance, key
from keyrack.testing.clock import Clock
from keyrack.testing.people import PASSWORD, House
from keyrack.testing.rest import Answer, Face, NobodyThere, asked, open_face

CONFIGURATION: Final = """
[deployment]
id = "rest"
directory = "{0}"
[key_managers.kp]
type = "embedded"
keystore = "keystore"
unlock = {{ key_file = "keystore.key" }}
[key_managers.other]
type = "embedded"
keystore = "keystore-2"
unlock = {{ key_file = "keystore.key" }}
"""
ROLES: Final[Mapping[str, Sequence[Role]]] = {
    "mara": (Role.ADMINISTRATOR, Role.SECURITY_OFFICER),
    "adam": (Role.ADMINISTRATOR,),
    "sofia": (Role.SECURITY_OFFICER,),
    "omar": (Role.OPERATOR,),
    "vera": (Role.VIEWER,),
    "aud": (Role.AUDITOR,),
}


@dataclass(slots=True)
class Place(NobodyThere):
    """The console over a catalog with people who log in, and a serving process with one key manager."""

    clock: Clock
    manager: MemoryKeyManager = field(default_factory=MemoryKeyManager)
    silent: bool = False
    tokens: dict[str, str] = field(default_factory=dict)
    face: Face = field(init=False)
    house: House = field(init=False)

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """One."""
        return [KeyManagerTold(name="kp", type="embedded", healthy=True)]

    async def root_keys(self, key_manager: str) -> Sequence[RootKeyTold]:
        """What the key manager has."""
        if self.silent:
            raise BackOfficeUnavailable("no serving process answers")
        return [
            RootKeyTold(
                identifier=each.identifier,
                name=each.name,
                state=each.state,
                version=each.version,
                created_at=each.created_at,
            )
            for each in await self.manager.list_root_keys()
        ]

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """In the name of whoever has the token."""
        administrator = await self.face.app.premises.recognise(who.token, who.address, who.correlation)
        managers = {"kp": self.manager}
        office = Administration(self.face.catalog, managers, administrator, lambda: int(self.clock() * 1000))
        return await perform(office, act, arguments)

    async def person(self, name: str, *grants: Grant) -> str:
        """Somebody who has logged in just now."""
        await self.house.person(name, *grants)
        self.tokens[name] = (await self.house.log_in(name)).token
        return name

    async def get(self, who: str, path: str) -> Answer:
        """Look at a page."""
        return await asked(self.face.app, "GET", path, headers=self._headers(who))

    async def post(self, who: str, path: str, **fields: str) -> Answer:
        """Send a form, as a page or around every page."""
        body = urlencode({"csrf": csrf_of(self.tokens[who]), **fields}).encode()
        headers = {**self._headers(who), "content-type": "application/x-www-form-urlencoded"}
        return await asked(
            self.face.app, "POST", path, headers={**headers, "content-length": str(len(body))}, body=body
        )

    def _headers(self, who: str) -> Mapping[str, str]:
        return {"host": "localhost", "accept": "text/html", "cookie": f"{COOKIE}={self.tokens[who]}"}

    async def now(self, identifier: str) -> Instance:
        """The instance as it is in the catalog."""
        return next(each for each in await self.face.catalog.instances() if each.identifier == identifier)

    async def put(self, *instances: Instance) -> None:
        """Into the catalog."""
        await self.face.catalog.commit(Unit(entries=(), instances=instances))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "keyrack.toml").write_text(CONFIGURATION.format(tmp_path))
    made = Place(Clock(time.time()))
    config = load(tmp_path / "keyrack.toml")
    async with open_face(tmp_path, back_office=made, config=config, clock=lambda: int(made.clock() * 1000)) as face:
        made.face, made.house = face, House(face.catalog, clock=made.clock)
        face.app.premises.passwords = made.house.passwords
        yield made


def text_of(answer: Answer) -> str:
    """What a page says, without its marks."""
    page = answer.body.decode().partition("<main")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


MATRIX: Final = """
act              right            mara adam sofia omar vera aud ines nora
new              instance.create  yes  yes  no    no   no   no  no   no
describe         instance.change  yes  yes  no    yes  no   no  yes  gone
configure        instance.change  yes  yes  no    yes  no   no  yes  gone
deactivate       instance.change  yes  yes  no    yes  no   no  yes  gone
activate         instance.change  yes  yes  no    yes  no   no  yes  gone
quotas           instance.quota   yes  yes  yes   no   no   no  yes  gone
credential       instance.quota   yes  yes  yes   no   no   no  yes  gone
clear-credential instance.quota   yes  yes  yes   no   no   no  yes  gone
require-two      instance.quota   yes  yes  yes   no   no   no  yes  gone
let-one-decide   instance.quota   yes  yes  yes   no   no   no  yes  gone
seal             instance.seal    yes  yes  yes   no   no   no  yes  gone
unseal           instance.seal    yes  yes  yes   no   no   no  yes  gone
remove           instance.remove  yes  yes  no    no   no   no  yes  gone
"""
"""Who can do what; ines is an administrator of the instance alone, nora of another one. ``gone``: it is not there."""

TYPED: Final[Mapping[str, Mapping[str, str]]] = {
    "new": {"name": "another", "key_manager": "+later"},
    "describe": {"name": "{name}", "description": "behind the moon"},
    "configure": {"key_manager": "kp", "root_key": "+new"},
    "quotas": {"keys": "7", "certificates": "7", "requests": "7"},
    "credential": {"username": "vc", "password": "a long password"},
    "remove": {"confirmation": "{name}"},
}
BEGINS: Final[Mapping[str, Mapping[str, Any]]] = {
    "configure": {"status": InstanceStatus.INACTIVE, "key_manager": "", "root_key": ""},
    "activate": {"status": InstanceStatus.INACTIVE},
    "clear-credential": {"credential": Credential(username="vc", password="$argon2id$")},
    "let-one-decide": {"dual_control_at": 1},
    "unseal": {"sealed_at": 1},
    "remove": {"status": InstanceStatus.INACTIVE},
}
"""How the instance stands before the act."""
PAGES: Final = ("deactivate", "seal", "remove")
"""Acts with a page of their own; the others are done on one that shows other things too."""
OTHER: Final = str(uuid.uuid4())


def rows_of(matrix: str) -> list[dict[str, str]]:
    """One for each act."""
    head, *lines = [line.split() for line in matrix.strip().splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def grants_of(name: str, identifier: str) -> tuple[Grant, ...]:
    """What each of the matrix has."""
    if name in ROLES:
        return tuple(map(Grant, ROLES[name]))
    return (Grant(Role.ADMINISTRATOR, identifier if name == "ines" else OTHER),)


def test_the_matrix_is_what_the_rights_say() -> None:
    for row in rows_of(MATRIX):
        right = next(each for each in Right if each.title == row["right"])
        for name in (*ROLES, "ines", "nora"):
            grants = Grants.of(grants_of(name, ONE))
            allowed = grants.allow(right, ONE if right.scoped else "")
            gone = right.scoped and not grants.sees(ONE)
            assert row[name] == ("gone" if gone else "yes" if allowed else "no"), (row["act"], name)


@pytest.mark.parametrize("name", [*ROLES, "ines", "nora"])
async def test_each_act_through_the_page_and_around_it(place: Place, name: str) -> None:
    """The direct request is the very one that the page would send, with what the page would have told."""
    rows = rows_of(MATRIX)
    made = {row["act"]: instance(str(uuid.uuid4()), f"of-{row['act']}") for row in rows}
    made = {act: replace(each, **BEGINS.get(act, {})) for act, each in made.items()}
    await place.put(instance(OTHER, "other"), *made.values())
    await place.person("zoe", Grant(Role.ADMINISTRATOR))  # so that two could agree
    await place.person("yan", Grant(Role.ADMINISTRATOR))
    await place.person(name, *(grant for each in made.values() for grant in set(grants_of(name, each.identifier))))

    for row in rows:
        act, outcome, target = row["act"], row[name], made[row["act"]]
        path = "/instances/new" if act == "new" else f"/instances/{target.identifier}/{act}"
        fields = {what: said.format(name=target.name) for what, said in TYPED.get(act, {}).items()}
        if act in {"new", *PAGES}:
            expected = {"yes": 200, "no": 403, "gone": 404}[outcome]
            assert (await place.get(name, path)).status == expected, act
        if act != "new":
            shown = await place.get(name, f"/instances/{target.identifier}/settings")
            offers = f'/{act}"' in shown.body.decode().partition("<main")[2]
            assert offers == (outcome == "yes" and act != "configure"), act
        answer = await place.post(name, path, seen=tag_of(target), **fields)
        done = {"yes": 202 if act == "let-one-decide" else 303, "no": 403, "gone": 404}[outcome]
        assert answer.status == done, (act, answer.status, text_of(answer))
        if act == "new":
            assert any(each.name == "another" for each in await place.face.catalog.instances()) == (outcome == "yes")
        elif outcome != "yes":
            assert await place.now(target.identifier) == target, act


async def test_a_foreign_instance_looks_as_one_that_is_not_there(place: Place) -> None:
    """Byte for byte, but for the address that was typed."""
    await place.put(instance(), instance(OTHER, "other"))
    await place.person("nora", Grant(Role.ADMINISTRATOR, OTHER))
    absent = str(uuid.uuid4())
    pages = ("", "/key-manager", "/settings", "/deactivate", "/seal", "/remove")
    for page in (*pages, *(f"/live{each}" for each in ("/state", "/key-manager"))):
        path = f"/instances/{{}}{page}" if "/live" not in page else f"/live/instances/{{}}{page.removeprefix('/live')}"
        foreign, gone = [await place.get("nora", path.format(each)) for each in (ONE, absent)]
        assert foreign.status == gone.status == 404
        assert foreign.body.replace(ONE.encode(), b"") == gone.body.replace(absent.encode(), b""), page
    listed = text_of(await place.get("nora", "/instances"))
    assert "other" in listed
    assert "one" not in listed.split()


async def test_a_name_that_is_taken_is_told_beside_it_and_the_rest_stays(place: Place) -> None:
    await place.put(instance())
    await place.person("adam", Grant(Role.ADMINISTRATOR))
    typed = {"name": "one", "description": "of <b>DC2</b>", "key_manager": "kp", "root_key": "+new"}
    answer = await place.post("adam", "/instances/new", **typed, hierarchy="two-level")
    page = answer.body.decode()

    assert answer.status == 409
    assert 'id="name-wrong"' in page
    assert 'name="name" type="text" autocomplete="off" value="one"' in page
    assert "of &lt;b&gt;DC2&lt;/b&gt;" in page
    assert re.search(r'value="\+new" required checked', page)
    assert '<option value="two-level" selected>' in page
    assert "<details open>" in page


async def test_an_instance_is_made_with_a_root_key_from_the_list(place: Place) -> None:
    """Shown without JavaScript by a button; one that is not Active is not for picking."""
    await place.person("adam", Grant(Role.ADMINISTRATOR))
    active = await place.manager.create_root_key("by hand")
    suspended = await place.manager.create_root_key("no more")
    await place.manager.disable_root_key(suspended.identifier)
    shown = await place.post("adam", "/instances/new", name="prod", key_manager="kp", show="root-keys")
    assert (shown.status, "by hand" in text_of(shown)) == (200, True)
    assert 'value="prod"' in shown.body.decode()
    live = await place.get("adam", "/live/root-keys-to-pick?key_manager=kp")
    assert f'value="{active.identifier}" required> ' in live.body.decode()
    assert f'value="{suspended.identifier}" required disabled> ' in live.body.decode()

    made = await place.post("adam", "/instances/new", name="prod", key_manager="kp", root_key=active.identifier)
    (there,) = await place.face.catalog.instances()
    assert (there.status, there.root_key) == (InstanceStatus.INSTALLED, active.identifier)
    where = f"/instances/{there.identifier}/certificates?done=instance-created"
    assert (made.status, made.headers["location"]) == (303, where)


async def test_what_is_missing_is_told_at_its_field(place: Place) -> None:
    """Without a key manager, without a root key, with one that the key manager does not have."""
    await place.person("adam", Grant(Role.ADMINISTRATOR))
    for typed, field_wrong in (
        ({}, "key_manager-wrong"),
        ({"key_manager": "kp"}, "root_key-wrong"),
        ({"key_manager": "+later", "description": "two\nlines"}, "description-wrong"),
        ({"key_manager": "+later", "name": "a b"}, "name-wrong"),
    ):
        answer = await place.post("adam", "/instances/new", **typed)
        assert (answer.status, f'id="{field_wrong}"' in answer.body.decode()) == (422, True), typed
    place.silent = True
    answer = await place.get("adam", "/live/root-keys-to-pick?key_manager=kp")
    assert b"No serving process answers" in answer.body
    assert b"root_key_typed" in answer.body  # a way on
    assert await place.face.catalog.instances() == []


async def test_an_unconfigured_instance_is_configured_in_the_same_panel(place: Place) -> None:
    await place.person("omar", Grant(Role.OPERATOR))
    await place.put(replace(instance(), status=InstanceStatus.INACTIVE, key_manager="", root_key=""))
    assert (
        'action="/instances/' + ONE + '/configure"'
        in (await place.get("omar", "/instances/one/key-manager")).body.decode()
    )
    refused = await place.post("omar", "/instances/one/configure", key_manager="kp", root_key="absent")
    assert refused.status in {409, 422}
    answer = await place.post("omar", "/instances/one/configure", key_manager="kp", root_key="+new")
    assert answer.headers["location"] == "/instances/one/key-manager?done=instance-configured"
    assert (await place.now(ONE)).status is InstanceStatus.INSTALLED


async def test_a_stale_form_is_told_and_nothing_is_lost(place: Place) -> None:
    """Neither what the other has saved, nor what was typed here: sent again, it counts."""
    await place.put(instance())
    await place.person("mara", Grant(Role.ADMINISTRATOR))
    before = (await place.get("mara", "/instances/one/settings")).body.decode()
    seen = unescape(re.search(r'name="seen" value="([^"]+)"', before)[1])  # type: ignore[index]
    changed = replace(await place.now(ONE), description="by somebody else")
    await place.put(changed)

    untouched = {"was_name": "one", "was_description": "for tests", "description": "for tests"}
    late = await place.post("mara", "/instances/one/describe", seen=seen, form="describe", name="two", **untouched)
    page = late.body.decode()
    assert late.status == 412
    assert "somebody has changed the instance" in page.lower()
    assert 'value="two"' in page
    assert 'id="description" name="description" type="text" autocomplete="off" value="by somebody else"' in page
    assert await place.now(ONE) == changed

    seen = unescape(re.search(r'name="seen" value="([^"]+)"', page)[1])  # type: ignore[index]
    again = await place.post("mara", "/instances/one/describe", seen=seen, form="describe", name="two", description="x")
    assert (again.status, again.headers["location"]) == (303, "/instances/two/settings?done=instance-renamed")
    assert ((await place.now(ONE)).name, (await place.now(ONE)).description) == ("two", "x")


async def test_what_gives_power_away_wants_the_password_again(place: Place) -> None:
    """Typed with the form, which keeps what was typed; a wrong one does nothing."""
    await place.put(instance())
    await place.person("sofia", Grant(Role.SECURITY_OFFICER))
    place.clock.go_on(PROOF_LASTS + 1)
    page = (await place.get("sofia", "/instances/one/settings")).body.decode()
    assert page.count('name="proof"') == 1  # beside the other password, which a page never repeats
    fields = {"seen": tag_of(instance()), "form": "quotas", "keys": "9", "certificates": "8", "requests": "7"}
    asked_again = await place.post("sofia", "/instances/one/quotas", **fields)
    page = asked_again.body.decode()
    assert (asked_again.status, page.count('name="proof"')) == (403, 1)
    assert 'value="9"' in page
    wrong = await place.post("sofia", "/instances/one/quotas", **fields, proof="no such password")
    assert (wrong.status, wrong.body.decode().count('name="proof"')) == (401, 1)
    assert (await place.now(ONE)).quotas == instance().quotas

    assert (await place.post("sofia", "/instances/one/quotas", **fields, proof=PASSWORD)).status == 303
    assert (await place.now(ONE)).quotas.keys == 9


@pytest.mark.parametrize("act", ["deactivate", "seal"])
async def test_what_stops_machines_is_told_and_confirmed(place: Place, act: str) -> None:
    await place.put(instance())
    await place.face.catalog.commit(Unit(entries=(), inserted=(key(),), certificates=(certificate(),)))
    await place.person("mara", Grant(Role.ADMINISTRATOR))
    seen = tag_of(instance())
    first = await place.post("mara", f"/instances/one/{act}", seen=seen, why="move")
    assert (first.status, "type: one" in text_of(first)) == (409, True)
    assert "What may stop" in text_of(first)
    wrong = await place.post("mara", f"/instances/one/{act}", seen=seen, why="move", asked="one", confirmation="two")
    assert (wrong.status, "type: one" in text_of(wrong)) == (422, True)
    assert await place.now(ONE) == instance()

    done = await place.post("mara", f"/instances/one/{act}", seen=seen, why="move", asked="one", confirmation="one")
    assert done.status == 303
    now = await place.now(ONE)
    assert (now.serves, now.sealed_at is not None) == (act == "seal", act == "seal")


async def test_an_instance_goes_in_the_safe_order(place: Place) -> None:
    """Each thing that hangs on it is linked; only then its name, and it is gone."""
    await place.put(replace(instance(), status=InstanceStatus.INACTIVE))
    await place.face.catalog.commit(Unit(entries=(), inserted=(key(),), certificates=(certificate(),)))
    await place.person("adam", Grant(Role.ADMINISTRATOR))
    seen = tag_of(replace(instance(), status=InstanceStatus.INACTIVE))
    page = (await place.get("adam", "/instances/one/remove")).body.decode()
    assert 'href="/instances/one/keys">1 key is not destroyed' in page
    assert 'href="/instances/one/certificates">1 client certificate is left' in page
    assert '<form method="post" action="/instances/one/remove"' not in page
    around = await place.post("adam", "/instances/one/remove", seen=seen, confirmation="one")
    assert (around.status, "something is in the way" in text_of(around)) == (409, True)

    await place.face.catalog.commit(
        Unit(entries=(), updated=(key(KEY).changed(sealed=None, state=6),), removed_certificates=("a" * 64,))
    )
    asked_for = await place.post("adam", "/instances/one/remove", seen=seen)
    assert (asked_for.status, "type: one" in text_of(asked_for)) == (409, True)
    assert (await place.post("adam", "/instances/one/remove", seen=seen, confirmation="no")).status == 422
    gone = await place.post("adam", "/instances/one/remove", seen=seen, confirmation="one")
    assert gone.headers["location"] == "/instances?done=instance-removed"
    assert await place.face.catalog.instances() == []


async def test_under_dual_control_it_waits_with_the_way_there(place: Place) -> None:
    await place.put(replace(instance(), dual_control_at=1))
    await place.person("sofia", Grant(Role.SECURITY_OFFICER))
    await place.person("mara", Grant(Role.SECURITY_OFFICER))
    seen = tag_of(replace(instance(), dual_control_at=1))
    fields = {"seen": seen, "form": "quotas", "keys": "5", "certificates": "5", "requests": "5"}
    waits = await place.post("sofia", "/instances/one/quotas", **fields)
    (approval,) = await place.face.catalog.approvals(ONE)
    assert (waits.status, f'href="/approvals/{approval.identifier}"' in waits.body.decode()) == (202, True)
    assert (await place.now(ONE)).quotas == instance().quotas


async def test_a_credential_is_kept_as_a_hash_and_never_shown(place: Place) -> None:
    await place.put(instance())
    await place.person("mara", Grant(Role.ADMINISTRATOR))
    fields = {"seen": tag_of(instance()), "form": "credential", "username": "vc"}
    short = await place.post("mara", "/instances/one/credential", **fields, password="x1y2z3")
    assert (short.status, 'id="password-wrong"' in short.body.decode()) == (422, True)
    assert b"x1y2z3" not in short.body
    done = await place.post("mara", "/instances/one/credential", **fields, password="correct horse", required="yes")
    held = (await place.now(ONE)).credential
    assert (done.status, held is not None and held.required) == (303, True)
    page = (await place.get("mara", "/instances/one/settings")).body.decode()
    assert "username vc" in page
    assert held is not None
    assert held.password not in page


async def test_instances_are_searched_and_paged(place: Place) -> None:
    """On the server, whatever their number; an empty house says what to do."""
    await place.person("vera", Grant(Role.VIEWER))
    assert "There is no instance yet" in text_of(await place.get("vera", "/instances"))
    await place.put(*(instance(str(uuid.uuid4()), f"vc-{number:03}") for number in range(120)))
    first, last = [text_of(await place.get("vera", f"/instances?page={page}")) for page in ("1", "99")]
    assert ("vc-000" in first, "vc-119" in first, "Page 1 of 3" in first) == (True, False, True)
    assert ("vc-119" in last, "Page 3 of 3" in last) == (True, True)
    found = await place.get("vera", "/live/instances?search=VC-07")
    assert set(re.findall(r"vc-\d+", found.body.decode())) == {f"vc-07{digit}" for digit in range(10)}
    assert b"Create an instance" not in (await place.get("vera", "/instances")).body


async def test_each_status_is_explained(place: Place) -> None:
    """In a sentence on the page of the instance, and by its name in the table."""
    await place.person("vera", Grant(Role.VIEWER))
    told: Sequence[tuple[Mapping[str, Any], str]] = (
        ({"status": InstanceStatus.INSTALLING}, "It is being made"),
        ({"status": InstanceStatus.INACTIVE, "root_key": ""}, "Configure it to put it into service"),
        ({"status": InstanceStatus.INACTIVE, "reason": "deactivated by ann"}, "Why: Deactivated by ann"),
        ({"status": InstanceStatus.CONFIGURING}, "Its root key is being proved"),
        ({"status": InstanceStatus.INSTALLED}, "its clients are served"),
        ({"status": InstanceStatus.REMOVING}, "It is being taken away"),
        ({"sealed_at": 1}, "It is sealed"),
    )
    for changes, sentence in told:
        await place.put(changed := replace(instance(), **changes))
        assert sentence in text_of(await place.get("vera", "/instances/one/settings"))
        assert str(changed.status) in text_of(await place.get("vera", "/instances"))
