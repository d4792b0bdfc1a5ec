"""Keys and approvals over REST: rights, foreign and absent alike, pages, what is asked for, and the second person."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.spec.enumerations import State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.catalog_values import entry, key, numbered
from keyrack.testing.rest import Answer, Face, open_face

OFFICER = Grant(Role.SECURITY_OFFICER)


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_face(tmp_path) as opened:
        yield opened


async def furnished(face: Face, name: str = "prod", first: int = 1, **fields: Any) -> Instance:
    """An instance with three labelled keys that were fetched, and one that was not."""
    made = await face.instance(name, **fields)
    held = []
    for number in range(first, first + 4):
        labels = {"x-Name": f"vm-{number:02}", "x-Component": "Virtual Machine"}
        values = {title: CustomValue(ItemType.TEXT_STRING, value) for title, value in labels.items()}
        dates = {"Activation Date": 1_700_000_100}
        held.append(key(numbered(number), made.identifier, {**values, **dates}, date=1_700_000_000 + number))
    got = [entry(target=each.unique_identifier, instance=made.identifier, at=1_790_000_000_000) for each in held[:3]]
    await face.catalog.commit(Unit(entries=got, inserted=held))
    return made


def url(number: int, act: str = "", instance: str = "prod") -> str:
    return f"/api/v1/instances/{instance}/keys/{numbered(number)}" + (f"/{act}" if act else "")


async def state_of(face: Face, number: int, instance: Instance) -> State:
    found = await face.catalog.load(instance.identifier, numbered(number))
    assert found is not None
    return found.state


async def test_keys_are_listed_in_pages(face: Face) -> None:
    """With the filters of the list on each page; a cursor of another list is told."""
    await furnished(face)
    olga = await face.person("olga", Grant(Role.VIEWER))
    names: list[str] = []
    cursor = ""
    while True:
        answer = await face.ask(
            "GET", f"/api/v1/instances/prod/keys?limit=2&sort=name&descending=true&named=VM{cursor}", olga
        )
        assert answer.status == 200, answer.body
        names += [each["name"] for each in answer.json()["items"]]
        if answer.json()["next"] is None:
            break
        cursor = f"&cursor={answer.json()['next']}"
    assert ["vm-04", "vm-03", "vm-02", "vm-01"] == names
    never = await face.ask("GET", "/api/v1/instances/prod/keys?never_fetched=true&state=Active", olga)
    assert ["vm-04"] == [each["name"] for each in never.json()["items"]]
    first = (await face.ask("GET", "/api/v1/instances/prod/keys?limit=1", olga)).json()["next"]
    for query, code in (
        (f"limit=1&sort=name&cursor={first}", "bad-cursor"),
        ("cursor=nope", "bad-cursor"),
        ("state=Lost", "invalid"),
        ("created_since=soon", "invalid"),
        ("limit=501", "invalid"),
    ):
        assert code == (await face.ask("GET", f"/api/v1/instances/prod/keys?{query}", olga)).code


async def test_a_key_is_shown_with_its_tag(face: Face) -> None:
    await furnished(face)
    olga = await face.person("olga", Grant(Role.VIEWER))

    answer = await face.ask("GET", url(1), olga)

    shown = answer.json()
    assert (200, "vm-01", "Active", 1) == (
        answer.status,
        shown["name"],
        shown["state"],
        shown["last_fetch"]["count"],
    )
    assert {"Initial Date", "Activation Date"} == set(shown["life"])
    assert "sealed" not in answer.body.decode()
    assert answer.etag == (await face.ask("GET", url(1), olga)).etag


async def test_foreign_and_absent_look_alike(face: Face) -> None:
    """A key of an instance that one does not see, one that is not there, and one named in another instance."""
    prod = await furnished(face)
    await furnished(face, "other", 20)
    olga = await face.person("olga", Grant(Role.SECURITY_OFFICER, prod.identifier))

    answers = [
        await face.ask(method, where, olga, {} if method == "POST" else None)
        for method, act in (("GET", ""), ("POST", "destroy"), ("POST", "activate"))
        for where in (url(20, act, "other"), url(99, act), url(20, act), url(1, act, "none"))
    ]

    assert {404} == {each.status for each in answers}
    assert 1 == len({_alike(each) for each in answers})


def _alike(answer: Answer) -> bytes:
    told = {name: value for name, value in answer.json().items() if name not in {"instance", "correlation"}}
    return str(sorted(told.items())).encode()


@pytest.mark.parametrize(
    ("act", "role", "status"),
    [
        ("activate", Role.VIEWER, 403),
        ("activate", Role.OPERATOR, 409),
        ("deactivate", Role.OPERATOR, 403),
        ("deactivate", Role.SECURITY_OFFICER, 409),
        ("compromise", Role.ADMINISTRATOR, 403),
        ("compromise", Role.SECURITY_OFFICER, 409),
        ("restore", Role.AUDITOR, 403),
        ("restore", Role.ADMINISTRATOR, 409),
        ("destroy", Role.ADMINISTRATOR, 403),
        ("destroy", Role.SECURITY_OFFICER, 409),
        ("recover", Role.VIEWER, 403),
        ("recover", Role.ADMINISTRATOR, 409),
        ("purge", Role.ADMINISTRATOR, 403),
        ("purge", Role.SECURITY_OFFICER, 409),
    ],
)
async def test_an_act_needs_its_right(face: Face, act: str, role: Role, status: int) -> None:
    """Whoever has it hears what else is in the way."""
    prod = await furnished(face)
    mara = await face.person("mara", Grant(role))

    answer = await face.ask("POST", url(1, act), mara, {})

    assert status == answer.status, answer.body
    assert State.ACTIVE == await state_of(face, 1, prod)


async def test_what_can_stop_a_machine_is_confirmed(face: Face) -> None:
    """409 with the impact and the words; with them it is done; a key is deactivated, restored, destroyed, recovered."""
    prod = await furnished(face)
    mara = await face.person("mara", OFFICER)
    first = await face.ask("POST", url(1, "deactivate"), mara)
    assert (409, "confirmation-needed", "vm-01") == (first.status, first.code, first.json()["confirmation"])
    impact = first.json()["impact"]
    assert (1, 1, numbered(1)) == (
        impact["virtual_machines"],
        impact["fetched_within_400_days"],
        impact["keys"][0]["unique_identifier"],
    )
    wrong = await face.ask("POST", url(1, "deactivate"), mara, {"confirmation": "vm-02"})
    assert (422, "unusable") == (wrong.status, wrong.code)
    assert State.ACTIVE == await state_of(face, 1, prod)

    body = {"confirmation": "vm-01", "why": "a test", "reason": "Superseded"}
    done = await face.ask("POST", url(1, "deactivate"), mara, body)
    assert (200, "Deactivated") == (done.status, done.json()["state"])
    for act, state in (
        ("restore", "Active"),
        ("deactivate", "Deactivated"),
        ("destroy", "Destroyed"),
        ("recover", "Deactivated"),
        ("compromise", "Compromised"),
    ):
        words = {"confirmation": "vm-01"} if act in {"deactivate", "destroy", "compromise"} else {}
        done = await face.ask("POST", url(1, act), mara, words)
        assert (200, state) == (done.status, done.json().get("state")), done.body
    wrong = await face.ask("POST", url(1, "restore"), mara, {})
    assert (409, "wrong-state") == (wrong.status, wrong.code)


async def test_a_purge_is_refused_within_four_hours(face: Face) -> None:
    await furnished(face)
    mara = await face.person("mara", OFFICER)
    for act in ("deactivate", "destroy"):
        await face.ask("POST", url(2, act), mara, {"confirmation": "vm-02"})

    answer = await face.ask("POST", url(2, "purge"), mara, {"confirmation": "vm-02"})

    assert (409, "too-early") == (answer.status, answer.code)
    shown = (await face.ask("GET", url(2), mara)).json()
    assert (False, True) == (shown["purged"], shown["purge_at"] is not None)


async def test_several_keys_at_once(face: Face) -> None:
    """All or none, with one confirmation."""
    prod = await furnished(face)
    mara = await face.person("mara", OFFICER)
    where = "/api/v1/instances/prod/key-acts"
    body: dict[str, Any] = {"act": "deactivate", "keys": [numbered(1), numbered(2)]}
    assert "2 keys" == (await face.ask("POST", where, mara, body)).json()["confirmation"]

    done = await face.ask("POST", where, mara, {**body, "confirmation": "2 keys"})

    assert ["Deactivated"] * 2 == [each["state"] for each in done.json()["items"]]
    again = await face.ask("POST", where, mara, {**body, "keys": [numbered(3), numbered(1)], "confirmation": "2 keys"})
    assert (409, "wrong-state") == (again.status, again.code)
    assert State.ACTIVE == await state_of(face, 3, prod)
    for wrong in ({**body, "keys": []}, {**body, "act": "lose"}, {**body, "keys": [numbered(1)] * 501}):
        assert "invalid" == (await face.ask("POST", where, mara, wrong)).code


async def test_a_second_person_agrees(face: Face) -> None:
    """202 and an approval; the first one's other API key does not do, another person's yes ends the key."""
    prod = await furnished(face, dual_control_at=1)
    mara, nils = await face.person("mara", OFFICER), await face.person("nils", Grant(Role.ADMINISTRATOR))
    vera = await face.person("vera", Grant(Role.VIEWER))
    assert 200 == (await face.ask("POST", url(1, "deactivate"), mara, {"confirmation": "vm-01"})).status
    words = {"confirmation": "vm-01"}

    waits = await face.ask("POST", url(1, "destroy"), mara, {**words, "why": "old"})

    assert (202, "second-person-needed") == (waits.status, waits.code)
    approval = waits.json()["approval"]
    assert State.DEACTIVATED == await state_of(face, 1, prod)
    agree = f"/api/v1/approvals/{approval}/agree"
    assert (403, "same-person") == _told(await face.ask("POST", agree, mara, words))
    assert (403, "forbidden") == _told(await face.ask("POST", agree, vera, words))
    assert (409, "confirmation-needed") == _told(await face.ask("POST", agree, nils))
    shown = await face.ask("GET", f"/api/v1/approvals/{approval}", vera)
    assert ("waiting", [numbered(1)], "old", "person-mara") == (
        shown.json()["state"],
        shown.json()["keys"],
        shown.json()["why"],
        shown.json()["asked_by"],
    )
    assert shown.etag

    done = await face.ask("POST", agree, nils, words)

    assert (200, "done", "person-nils") == (done.status, done.json()["state"], done.json()["agreed_by"])
    assert State.DESTROYED == await state_of(face, 1, prod)
    assert (409, "approval-over") == _told(await face.ask("POST", agree, nils, words))
    listed = await face.ask("GET", "/api/v1/approvals?state=done", vera)
    assert [approval] == [each["identifier"] for each in listed.json()["items"]]
    assert [] == (await face.ask("GET", "/api/v1/approvals?state=waiting", vera)).json()["items"]


async def test_a_wish_can_be_withdrawn(face: Face) -> None:
    await furnished(face, dual_control_at=1)
    mara = await face.person("mara", OFFICER)
    await face.ask("POST", url(1, "deactivate"), mara, {"confirmation": "vm-01"})
    approval = (await face.ask("POST", url(1, "destroy"), mara, {"confirmation": "vm-01"})).json()["approval"]

    taken = await face.ask("POST", f"/api/v1/approvals/{approval}/withdraw", mara)

    assert (200, "withdrawn") == (taken.status, taken.json()["state"])
    zoe = await face.person("zoe")
    for where in (f"/api/v1/approvals/{approval}", "/api/v1/approvals/ffffffff"):
        assert 404 == (await face.ask("GET", where, zoe)).status
    assert [] == (await face.ask("GET", "/api/v1/approvals", zoe)).json()["items"]


def _told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code
