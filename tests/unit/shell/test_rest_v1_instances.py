"""Instances over REST: made, configured, changed, limited and removed by those who may, and hidden from others."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.rights import Grant, Role
from keyrack.ports.back_office import KeyManagerTold, OnBehalf
from keyrack.ports.catalog import Unit
from keyrack.service.office.administration import Administration
from keyrack.service.people.passwords import Passwords
from keyrack.shell.office import clock
from keyrack.shell.web.acts import perform
from keyrack.spec.enumerations import State
from keyrack.testing.catalog_values import KEY, certificate, key
from keyrack.testing.people import CHEAP
from keyrack.testing.rest import Answer, Face, NobodyThere, open_face

API = "/api/v1/instances"


class Serving(NobodyThere):
    """A serving process with one key manager, without the line to it."""

    def __init__(self, kind: str = "embedded") -> None:
        self.manager = MemoryKeyManager()
        self.kind = kind
        self.face: Face
        self.asked: list[Mapping[str, Any]] = []

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        return [KeyManagerTold(name="kp", type=self.kind, healthy=True)]

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(arguments)
        administrator = await self.face.app.premises.recognise(who.token, who.address, who.correlation)
        return await perform(
            Administration(self.face.catalog, {"kp": self.manager}, administrator, clock), act, arguments
        )


@pytest.fixture
async def serving() -> Serving:
    return Serving()


@pytest.fixture
async def face(tmp_path: Path, serving: Serving) -> AsyncIterator[Face]:
    async with open_face(tmp_path, back_office=serving) as face:
        serving.face = face
        face.app.premises.passwords = Passwords(CHEAP)
        yield face


@pytest.fixture
async def ann(face: Face) -> str:
    """Everything that an administrator may."""
    return await face.person("ann", Grant(Role.ADMINISTRATOR))


async def change(face: Face, token: str, method: str, url: str, body: Any = None, **query: str) -> Answer:
    """A change of the resource as it is now."""
    seen = await face.ask("GET", url.split("?", maxsplit=1)[0], token)
    return await face.ask(method, url, token, body, headers={"if-match": seen.etag})


async def test_an_instance_is_made_configured_and_used(face: Face, serving: Serving, ann: str) -> None:
    """First without a home, then with one that a serving process proves."""
    made = await face.ask("POST", API, ann, {"name": "prod", "description": "the first"})
    assert (made.status, made.json()["status"], made.json()["key_manager"]) == (201, "Inactive", "")
    where = made.headers["location"]
    assert where == f"{API}/{made.json()['identifier']}"
    assert (await face.ask("GET", where, ann)).etag == made.etag
    assert (await face.ask("POST", f"{where}/activate", ann)).code == "wrong-status"

    root_key = await serving.manager.create_root_key("by hand")
    configured = await face.ask("POST", f"{where}/configure", ann, {"root_key": root_key.identifier})
    assert (configured.status, configured.json()["status"]) == (200, "Installed")
    assert (configured.json()["root_key"], configured.json()["storage"]) == (root_key.identifier, "catalog")
    refused = await face.ask("POST", f"{where}/configure", ann, {})
    assert (refused.status, refused.code) == (409, "wrong-status")


async def test_an_instance_with_a_root_key_is_usable_at_once(face: Face, serving: Serving, ann: str) -> None:
    """Without a name it gets one; IBM's key managers show its keys."""
    serving.kind = "key_protect"
    made = await face.ask("POST", API, ann, {"new_root_key": True})

    assert (made.status, made.json()["status"], made.json()["storage"]) == (201, "Installed", "key_manager")
    assert made.json()["name"].startswith("kmip-")
    for body in ({"key_manager": "kp"}, {"root_key": "x", "new_root_key": True}):
        told = await face.ask("POST", API, ann, body)
        assert (told.status, told.code, told.json()["field"]) == (422, "unusable", "root_key")
    taken = await face.ask("POST", API, ann, {"name": made.json()["name"]})
    assert (taken.status, taken.code, taken.json()["field"]) == (409, "name-taken", "name")
    assert (await face.ask("POST", API, ann, {"name": "a b"})).status == 422
    assert (await face.ask("POST", API, ann, {"name": "ok", "colour": "red"})).status == 422


async def test_a_root_key_that_is_refused_leaves_the_reason(face: Face, serving: Serving, ann: str) -> None:
    """For everybody who looks; the instance is Inactive."""
    await face.ask("POST", API, ann, {"name": "prod"})
    refused = await face.ask("POST", f"{API}/prod/configure", ann, {"root_key": "absent"})
    shown = (await face.ask("GET", f"{API}/prod", ann)).json()

    assert (refused.status, refused.code) == (422, "refused")
    assert (shown["status"], shown["reason"][:29]) == ("Inactive", "it could not be configured: k")


async def test_a_change_names_what_was_seen(face: Face, ann: str) -> None:
    """Else it is refused; a name by the rules of names."""
    await face.instance("prod")
    assert (await face.ask("PATCH", f"{API}/prod", ann, {"name": "new"})).status == 428
    old = (await face.ask("GET", f"{API}/prod", ann)).etag
    changed = await change(face, ann, "PATCH", f"{API}/prod", {"name": "vc-1", "description": "behind the moon"})
    assert (changed.json()["name"], changed.json()["description"]) == ("vc-1", "behind the moon")
    late = await face.ask("PATCH", f"{API}/vc-1", ann, {"name": "new"}, headers={"if-match": old})
    assert (late.status, late.code) == (412, "changed-meanwhile")
    assert (await change(face, ann, "PATCH", f"{API}/vc-1", {"name": None})).status == 422
    assert (await change(face, ann, "PATCH", f"{API}/vc-1", {"description": "x" * 241})).status == 422


async def test_what_stops_machines_is_confirmed(face: Face, ann: str) -> None:
    """Deactivating and sealing; with the number of keys in it."""
    prod = await face.instance("prod")
    await face.catalog.commit(Unit(entries=(), inserted=(key(KEY, prod.identifier),)))
    asked = await face.ask("POST", f"{API}/prod/deactivate", ann)
    assert (asked.status, asked.code, asked.json()["confirmation"]) == (409, "confirmation-needed", "prod")
    impact = asked.json()["impact"]
    assert (impact["total"], impact["certificates"], len(impact["keys"])) == (1, 0, 1)

    said = {"confirmation": "prod", "why": "move to DC2"}
    gone = (await face.ask("POST", f"{API}/prod/deactivate", ann, said)).json()
    assert (gone["status"], gone["reason"].split(": ")[1]) == ("Inactive", "move to DC2")
    assert (await face.ask("POST", f"{API}/prod/activate", ann)).json()["status"] == "Installed"

    assert (await face.ask("POST", f"{API}/prod/seal", ann)).code == "confirmation-needed"
    assert (await face.ask("POST", f"{API}/prod/seal", ann, {"confirmation": "prod"})).json()["sealed_at"]
    assert (await face.ask("POST", f"{API}/prod/unseal", ann)).json()["sealed_at"] is None


async def test_an_instance_is_removed_when_nothing_hangs_on_it(face: Face, ann: str) -> None:
    """What is in the way is listed for programs too."""
    prod = await face.instance("prod")
    await face.catalog.commit(
        Unit(entries=(), inserted=(key(KEY, prod.identifier),), certificates=(certificate(of=prod.identifier),))
    )
    assert (await change(face, ann, "DELETE", f"{API}/prod")).code == "wrong-status"
    await face.ask("POST", f"{API}/prod/deactivate", ann, {"confirmation": "prod"})
    hanging = await change(face, ann, "DELETE", f"{API}/prod")
    assert (hanging.status, hanging.code, len(hanging.json()["hanging"])) == (409, "still-in-use", 2)

    purged = replace(key(KEY, prod.identifier), state=State.DESTROYED, sealed=None, version=2)
    await face.catalog.commit(Unit(entries=(), updated=(purged,), removed_certificates=(certificate().fingerprint,)))
    assert (await face.ask("DELETE", f"{API}/prod", ann)).status == 428
    assert (await change(face, ann, "DELETE", f"{API}/prod")).status == 204
    assert (await face.ask("GET", f"{API}/prod", ann)).status == 404


async def test_quotas_are_shown_with_what_is_used(face: Face, ann: str) -> None:
    """And set one by one, within bounds."""
    prod = await face.instance("prod")
    await face.catalog.commit(
        Unit(entries=(), inserted=(key(KEY, prod.identifier),), certificates=(certificate(of=prod.identifier),))
    )
    changed = await change(face, ann, "PATCH", f"{API}/prod/quotas", {"keys": 1})
    assert changed.json() == {
        "keys": {"quota": 1, "used": 1},
        "certificates": {"quota": 200, "used": 1},
        "requests": {"quota": 10_000, "used": None},
    }
    for wrong in ({"keys": -1}, {"requests": 0}, {"keys": True}, {"keys": "7"}, {"certificates": 10**6}):
        assert (await change(face, ann, "PATCH", f"{API}/prod/quotas", wrong)).status == 422
    assert (await face.ask("PATCH", f"{API}/prod/quotas", ann, {"keys": 2})).status == 428


async def test_a_credential_is_set_and_never_shown(face: Face, ann: str) -> None:
    """Neither in the answer nor in the journal."""
    await face.instance("prod")
    body = {"username": "vSphere", "password": "correct horse", "required": True}
    made = await change(face, ann, "PUT", f"{API}/prod/credential", body)
    assert made.json() == {"username": "vSphere", "required": True}
    shown = (await face.ask("GET", f"{API}/prod", ann)).body + (
        await face.ask("GET", f"{API}/prod/credential", ann)
    ).body
    journal = "".join(record.text for record in await face.catalog.journal())
    assert b"argon2" not in shown
    assert b"correct" not in shown
    assert "correct" not in journal
    for wrong in ({"username": "", "password": "correct horse"}, {"username": "x", "password": "short"}):
        told = await change(face, ann, "PUT", f"{API}/prod/credential", wrong)
        assert told.status == 422
        assert wrong["password"].encode() not in told.body
    assert (await change(face, ann, "DELETE", f"{API}/prod/credential")).status == 204
    assert (await face.ask("GET", f"{API}/prod/credential", ann)).json()["username"] is None


async def test_dual_control_is_switched_on_where_two_can_agree(face: Face, ann: str) -> None:
    """Here nobody could."""
    await face.instance("prod")
    told = await change(face, ann, "PUT", f"{API}/prod/dual-control", {"on": True})
    assert (told.status, told.code) == (422, "refused")

    (prod,) = await face.catalog.instances()
    await face.catalog.commit(Unit(entries=(), instances=(replace(prod, dual_control_at=1_800_000_000),)))
    waits = await change(face, ann, "PUT", f"{API}/prod/dual-control", {"on": False})
    assert (waits.status, waits.code) == (202, "second-person-needed")
    assert (await face.ask("GET", f"{API}/prod/dual-control", ann)).json()["on"] is True


ROUTES = [
    ("POST", "", {"name": "x"}),
    ("PATCH", "/prod", {"name": "x"}),
    ("DELETE", "/prod", None),
    ("POST", "/prod/configure", {"new_root_key": True}),
    ("POST", "/prod/activate", None),
    ("POST", "/prod/deactivate", {"confirmation": "prod"}),
    ("POST", "/prod/seal", {"confirmation": "prod"}),
    ("POST", "/prod/unseal", None),
    ("PATCH", "/prod/quotas", {"keys": 1}),
    ("PUT", "/prod/credential", {"username": "me", "password": "correct horse"}),
    ("DELETE", "/prod/credential", None),
    ("PUT", "/prod/dual-control", {"on": True}),
]
READ = ["/prod", "/prod/quotas", "/prod/credential", "/prod/dual-control"]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_who_only_looks_changes_nothing(face: Face, method: str, path: str, body: Any) -> None:
    """A viewer is refused; who is of another instance sees as much as of one that is not there."""
    await face.instance("prod")
    elsewhere = await face.instance("elsewhere")
    viewer = await face.person("vic", Grant(Role.VIEWER))
    stranger = await face.person("sam", Grant(Role.ADMINISTRATOR, elsewhere.identifier))
    before = await face.catalog.instances()
    headers = {"if-match": "*"}

    refused = await face.ask(method, API + path, viewer, body, headers=headers)
    foreign = await face.ask(method, API + path, stranger, body, headers=headers)
    absent = await face.ask(method, API + path.replace("prod", "absent"), stranger, body, headers=headers)

    assert (refused.status, refused.code) == (403, "forbidden")
    assert (foreign.status, foreign.code) == ((404, "not-found") if path else (403, "forbidden"))
    assert _alike(foreign) == _alike(absent)
    assert await face.catalog.instances() == before


@pytest.mark.parametrize("path", READ)
async def test_who_may_look_sees(face: Face, path: str) -> None:
    """And nobody else."""
    prod = await face.instance("prod")
    viewer = await face.person("vic", Grant(Role.VIEWER, prod.identifier))
    stranger = await face.person("sam", Grant(Role.ADMINISTRATOR, "elsewhere"))

    assert (await face.ask("GET", API + path, viewer)).status == 200
    foreign = await face.ask("GET", API + path, stranger)
    assert (foreign.status, _alike(foreign)) == (404, _alike(await face.ask("GET", f"{API}/absent", stranger)))


def _alike(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body
