"""Root keys over REST: who may what, what is asked first, what is refused, and how far a rewrap is."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.instances import Hierarchy
from keyrack.domain.rights import Grant, Role
from keyrack.ports.back_office import OnBehalf
from keyrack.service.moves.pace import Paces
from keyrack.service.office.refusals import Forbidden
from keyrack.testing.rest import NobodyThere, open_face
from keyrack.testing.root_key_room import API, RootKeyRoom, root_key_room

HOUR = 3600


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RootKeyRoom]:
    async with root_key_room(tmp_path) as room:
        yield room


# Who may what --------------------------------------------------------------------------------------------------------

ACTS: dict[str, tuple[str, str, Any, set[str]]] = {
    "list": ("GET", "", None, {"adam", "sofia", "omar", "vera", "aud"}),
    "show": ("GET", "/{}", None, {"adam", "sofia", "omar", "vera", "aud"}),
    "progress": ("GET", "/{}/rewrap", None, {"adam", "sofia", "omar", "vera", "aud"}),
    "create": ("POST", "", {"name": "another"}, {"adam", "sofia"}),
    "rotate": ("POST", "/{}/rotate", None, {"adam", "sofia"}),
    "rewrap": ("POST", "/{}/rewrap", {"rate": 5}, {"adam", "sofia"}),
    "policies": ("PATCH", "/{}/policies", {"rotate_every_months": 3}, {"sofia"}),
    "disable": ("POST", "/{}/disable", {"confirmation": "vmware"}, {"sofia"}),
    "enable": ("POST", "/{}/enable", None, {"sofia"}),
    "delete": ("POST", "/{}/delete", {"confirmation": "vmware"}, {"sofia"}),
    "unset": ("POST", "/{}/unset-for-deletion", None, {"sofia"}),
    "restore": ("POST", "/{}/restore", None, {"sofia"}),
}


async def test_who_may_what(room: RootKeyRoom) -> None:
    """Who may not is told so before anything else, in the web process and again in the serving one."""
    made = await room.make("vmware")
    for name, (method, path, body, allowed) in ACTS.items():
        for who in ("omar", "vera", "aud", "adam", "sofia"):
            answer = await room.ask(who, method, path.format(made), body)
            assert (answer.code == "forbidden") is (who not in allowed), (name, who, answer.body)
            assert who in allowed or answer.status == 403


async def test_the_serving_process_looks_at_the_rights_itself(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    desk = room.desk
    for act in ("create", "rotate", "disable", "enable", "delete", "unset-for-deletion", "restore", "policy", "rewrap"):
        visit = OnBehalf(token=room.tokens["omar"], address="192.0.2.7:40000")
        with pytest.raises(Forbidden, match="this needs the right 'root-key"):
            await desk.act(visit, f"root-key.{act}", {"key_manager": "embedded", "root_key": made, "name": "n"})


# Made and looked at --------------------------------------------------------------------------------------------------


async def test_a_root_key_is_made_with_its_policies(room: RootKeyRoom) -> None:
    made = await room.ask(
        "adam",
        "POST",
        body={"name": "vmware", "description": "of Berlin", "rotate_every_months": 6, "dual_authorisation": True},
    )
    told = made.json()
    assert made.headers["location"] == f"{API}/{told['identifier']}"
    assert (told["state"], told["version_number"], told["administered"]) == ("Active", 1, True)
    assert (told["rotate_every_months"], told["dual_authorisation"], told["created_by"]) == (6, True, "person-adam.key")
    assert told["rotation_due"]
    assert not told["used_by"]
    entry = (await room.journal())[-1]
    assert (entry["action"], entry["initiator"], entry["target"]) == (
        "root-key.create",
        "person-adam.key",
        told["identifier"],
    )
    assert (await room.ask("adam", "POST", body={"name": "x"})).code == "invalid"
    assert (await room.ask("adam", "POST", body={"name": "a\x07b"})).json()["field"] == "name"
    past = {"name": "late", "expires_at": "2020-01-01T00:00:00Z"}
    assert (await room.ask("adam", "POST", body=past)).json()["field"] == "expires_at"
    assert (await room.ask("vera", "GET", "/nobody")).status == 404
    assert (await room.ask("vera", "GET", "/vmware")).json()["identifier"] == told["identifier"]
    await room.make("vmware")
    assert (await room.ask("vera", "GET", "/vmware")).code == "refused"


async def test_whose_keys_it_wraps(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    await room.instance("prod", made, 3)
    await room.instance("two", made, hierarchy=Hierarchy.TWO_LEVEL)
    (listed,) = (await room.ask("vera", "GET")).json()["items"]
    users = {each["name"]: (each["keys"], each["wrapped"], each["behind"]) for each in listed["used_by"]}
    assert users == {"prod": (3, 3, 0), "two": (0, 0, 0)}
    assert (listed["keys_under_newest_version"], listed["keys_under_older_versions"]) == (3, 0)
    assert (await room.ask("vera", "GET", "?state=Suspended")).json()["items"] == []


# Rotated and rewrapped -----------------------------------------------------------------------------------------------


async def test_a_rotation_has_the_keys_rewrapped(room: RootKeyRoom) -> None:
    """To the end, counted; the older version stays, and nobody has to wait for it."""
    made = await room.make("vmware")
    prod = await room.instance("prod", made, 5)
    before = (await room.ask("vera", "GET", f"/{made}")).json()
    rotated = (await room.ask("adam", "POST", f"/{made}/rotate")).json()
    assert (rotated["version_number"], [each["number"] for each in rotated["versions"]]) == (2, [2, 1])
    told = await room.rewrapped(made)
    assert (told["total"], told["done"], told["version"]) == (5, 5, rotated["version"])
    assert told["version"] != before["version"]
    for managed in await room.face.catalog.objects(prod.identifier, "", 10):
        assert room.vault.wrapped_by(prod, managed) == rotated["version"]
    actions = [each["action"] for each in await room.journal()]
    assert actions.count("key.rewrap") == 5
    assert "root-key.rotate" in actions
    again = await room.ask("adam", "POST", f"/{made}/rotate")
    assert (again.status, again.code) == (409, "too-early")


async def test_progress_is_seen_while_it_goes_on_and_after_a_restart(room: RootKeyRoom) -> None:
    """It stands in the catalog: whichever process is asked tells it; begun again, it goes on where it was."""
    made = await room.make("vmware")
    await room.instance("prod", made, 6)
    await room.manager.rotate_root_key(made)  # as the schedule does, or another node
    told = (await room.ask("vera", "GET", f"/{made}/rewrap")).json()
    assert (told["complete"], told["behind"]) == (False, 6)  # though nobody has counted them yet
    begun = await room.ask("adam", "POST", f"/{made}/rewrap", {"rate": 1})
    assert begun.status == 202
    until = time.monotonic() + 10
    while (told := (await room.ask("vera", "GET", f"/{made}/rewrap")).json())["behind"] in {0, 6}:
        assert time.monotonic() < until, told
        await asyncio.sleep(0.1)
    assert not told["complete"]
    assert 0 < told["behind"] < 6
    assert room.desk.rewraps is not None
    await room.desk.rewraps.rest()
    await asyncio.sleep(0.1)
    assert not (await room.ask("vera", "GET", f"/{made}/rewrap")).json()["complete"]
    await room.ask("adam", "POST", f"/{made}/rewrap", {"rate": 1000})
    assert (await room.rewrapped(made))["done"] == 6


def test_the_pace_is_of_the_last_looks() -> None:
    paces = Paces()
    assert paces.seen("a", 100, 0) is None
    assert paces.seen("a", 90, 0.5) is None
    assert paces.seen("a", 80, 2) == 10
    assert paces.seen("b", 80, 2) is None
    assert paces.seen("a", 40, 34) == 0 or paces.seen("a", 40, 36) is not None
    assert paces.seen("a", 500, 40) is None  # another rotation


# Out of use, and back ------------------------------------------------------------------------------------------------


async def test_what_stops_machines_is_told_first_and_wants_the_name(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    await room.instance("prod", made, 2)
    for act in ("disable", "delete"):
        asked = await room.ask("sofia", "POST", f"/{made}/{act}")
        assert (asked.status, asked.code, asked.json()["confirmation"]) == (409, "confirmation-needed", "vmware")
        assert asked.json()["impact"]["total"] == 2
        assert asked.json()["impact"]["instances"] == [{"instance": "prod", "keys": 2, "clients": 0}]
        wrong = await room.ask("sofia", "POST", f"/{made}/{act}", {"confirmation": "prod"})
        assert (wrong.code, wrong.json()["field"]) == ("unusable", "confirmation")
    assert (await room.ask("vera", "GET", f"/{made}")).json()["state"] == "Active"


async def test_disabled_and_enabled(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    done = await room.ask("sofia", "POST", f"/{made}/disable", {"confirmation": "vmware"})
    assert (done.json()["state"], bool(done.json()["return_from"])) == ("Suspended", True)
    assert (await room.ask("sofia", "POST", f"/{made}/disable")).code == "wrong-state"
    soon = await room.ask("sofia", "POST", f"/{made}/enable")
    assert (soon.code, "30s" in soon.json()["detail"]) == ("too-early", True)
    room.later.append(31)
    assert (await room.ask("sofia", "POST", f"/{made}/enable")).json()["state"] == "Active"
    assert [each["action"] for each in await room.journal()][-2:] == ["root-key.disable", "root-key.enable"]


async def test_a_rewrap_that_was_broken_off_goes_on_when_the_root_key_is_back(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    await room.instance("prod", made, 4)
    await room.manager.rotate_root_key(made)
    await room.ask("sofia", "POST", f"/{made}/disable", {"confirmation": "vmware"})
    assert (await room.ask("vera", "GET", f"/{made}/rewrap")).json()["behind"] == 4
    room.later.append(31)
    await room.ask("sofia", "POST", f"/{made}/enable")
    assert (await room.rewrapped(made))["done"] == 4


async def test_deleted_and_restored(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    gone = (await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})).json()
    assert (gone["state"], gone["deleted_by"]) == ("Destroyed", "person-sofia.key")
    assert gone["restore_until"]
    assert gone["purged_on"]
    assert (await room.ask("sofia", "POST", f"/{made}/delete")).code == "wrong-state"
    room.later.append(31)
    back = (await room.ask("sofia", "POST", f"/{made}/restore")).json()
    assert (back["state"], back["restore_until"]) == ("Active", None)
    await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    room.later.append(31 * 24 * HOUR)
    assert (await room.ask("sofia", "POST", f"/{made}/restore")).code == "wrong-state"


async def test_under_dual_authorisation_two_people_delete(room: RootKeyRoom) -> None:
    made = await room.make("vmware", dual_authorisation=True)
    asked = await room.ask("sofia", "POST", f"/{made}/delete")
    assert (asked.code, asked.json()["detail"][:3]) == ("confirmation-needed", "set")
    first = (await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})).json()
    assert (first["state"], first["set_for_deletion_by"]) == ("Active", "person-sofia.key")
    again = await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    assert (again.status, again.code) == (403, "same-person")
    assert (await room.ask("olga", "POST", f"/{made}/unset-for-deletion")).json()["set_for_deletion_by"] is None
    await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    gone = await room.ask("olga", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    assert gone.json()["state"] == "Destroyed"


async def test_dual_control_of_an_instance_is_not_gone_around(room: RootKeyRoom) -> None:
    """Who deletes the root key ends each key of the instance: two must want that, too."""
    made = await room.make("vmware")
    await room.instance("prod", made, dual_control_at=int(room.clock()))
    alone = await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    assert (alone.code, "prod" in alone.json()["detail"]) == ("refused", True)
    set_ = await room.ask("sofia", "PATCH", f"/{made}/policies", {"dual_authorisation": True})
    assert set_.json()["dual_authorisation"] is True
    await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})
    assert (await room.ask("sofia", "POST", f"/{made}/delete", {"confirmation": "vmware"})).code == "same-person"
    assert (await room.ask("olga", "POST", f"/{made}/delete", {"confirmation": "vmware"})).status == 200


async def test_policies(room: RootKeyRoom) -> None:
    made = await room.make("vmware")
    assert (await room.ask("sofia", "PATCH", f"/{made}/policies", {"rotate_every_months": 13})).code == "invalid"
    on = (await room.ask("sofia", "PATCH", f"/{made}/policies", {"rotate_every_months": 3})).json()
    assert (on["rotate_every_months"], bool(on["rotation_due"])) == (3, True)
    off = (await room.ask("sofia", "PATCH", f"/{made}/policies", {"rotate_every_months": 0})).json()
    assert (off["rotate_every_months"], off["rotation_due"]) == (None, None)
    two = await room.ask("sofia", "PATCH", f"/{made}/policies", {"dual_authorisation": True})
    assert two.json()["dual_authorisation"] is True
    one = await room.ask("sofia", "PATCH", f"/{made}/policies", {"dual_authorisation": False})
    assert (one.status, "cannot be switched off" in one.json()["detail"]) == (422, True)


# Elsewhere -----------------------------------------------------------------------------------------------------------


async def test_root_keys_of_ibm_are_listed_and_administered_there(room: RootKeyRoom) -> None:
    made = await room.elsewhere.create_root_key("theirs")
    url = f"/api/v1/key-managers/kp/root-keys/{made.identifier}"
    told = (await room.face.ask("GET", url, room.tokens["vera"])).json()
    assert (told["name"], told["administered"], told["versions"]) == ("theirs", False, [])
    for act in ("rotate", "disable", "enable", "delete", "restore", "unset-for-deletion"):
        answer = await room.face.ask("POST", f"{url}/{act}", room.tokens["sofia"])
        command = {"unset-for-deletion": "cancel-delete"}.get(act, act)
        assert (answer.code, f"ibmcloud kp key {command} {made.identifier}" in answer.json()["hint"]) == (
            "refused",
            True,
        )
    assert (await room.face.ask("POST", f"{url}/rewrap", room.tokens["sofia"])).status == 202
    missing = await room.face.ask("GET", "/api/v1/key-managers/none/root-keys/x", room.tokens["vera"])
    assert missing.status == 404


async def test_nobody_serves(tmp_path: Path) -> None:
    async with open_face(tmp_path, back_office=NobodyThere()) as face:
        sofia = await face.person("sofia", Grant(Role.SECURITY_OFFICER))
        for method, path in (("GET", ""), ("GET", "/x"), ("POST", "/x/rotate"), ("POST", "/x/delete")):
            assert (await face.ask(method, API + path, sofia)).code == "back-office-unavailable"
