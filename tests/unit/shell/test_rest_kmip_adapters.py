"""KMIP adapters over REST: every call as IBM's clients make it, and a KMIP client that uses what was made."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.registry import KeyManagers, name_for
from keyrack.domain.instances import identifier_of
from keyrack.embedded import lifecycle
from keyrack.embedded.house import House as KeyHouse
from keyrack.embedded.iam.rights import MATRIX, Right, Role
from keyrack.embedded.keys import KeyState
from keyrack.ports.catalog import Catalog
from keyrack.service.batch import Desk
from keyrack.service.identity import Peer
from keyrack.service.office import adapters as service
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.vault.envelope import Vault
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.spec.enumerations import ResultReason
from keyrack.testing import house as kmip
from keyrack.testing.certificates import Identity, client, issue
from keyrack.testing.conversation import Client, activate, create, destroy, get
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_house, an_instance
from keyrack.testing.key_protect import Address, Told, User, key_protect, new_user
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of

CERTIFICATE = "application/vnd.ibm.kms.kmip_client_certificate+json"
ADAPTER = "application/vnd.ibm.kms.kmip_adapter+json"
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class Place:
    """A key manager with its API, the catalog that it shares with a KMIP server, and that server without TLS."""

    house: KeyHouse
    address: Address
    server: kmip.House
    user: User
    catalog: SqliteCatalog
    """The API's; of the API's own thread."""

    @property
    def shared(self) -> Catalog:
        """The same database, as another process has it open."""
        return self.server.catalog

    async def journal(self) -> list[dict[str, Any]]:
        """The records of the catalog's journal."""
        return [json.loads(record.text) for record in await self.shared.journal()]

    def client(self, identity: Identity) -> Client:
        """A KMIP client that has this certificate."""
        self.server.peers[identity.fingerprint] = Peer(
            fingerprint=identity.fingerprint, address="192.0.2.9:4711", tls="TLSv1.3"
        )
        return Client(self.server, who=identity.fingerprint)

    def other_user(self, *roles: Role) -> User:
        """Somebody with these roles over another key manager instance."""
        an_instance(self.house, OTHER_INSTANCE)
        return new_user(self.address, self.house, *roles, instance=OTHER_INSTANCE)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A place with a manager of the instance."""
    house = a_house(tmp_path)
    managers = KeyManagers({"embedded": EmbeddedKeyManager(house, INSTANCE)})
    manager, path = managers.embedded()["embedded"], tmp_path / "catalog.db"
    ours, shared = SqliteCatalog(path, "key-manager-api"), SqliteCatalog(path, "kmip-0")
    rooms = service.Rooms(catalog=ours, key_managers=managers, clock=lambda: int(house.clock() * 1000))
    premises = Premises(house=house, rooms=rooms, name_of=lambda instance: name_for("embedded", manager, instance))
    vault = Vault(managers, manager.integrity_root(), "deployment")
    clock = kmip.Clock(house.clock())
    server = kmip.House(shared, manager, vault, Desk(shared, vault, clock=clock), clock)
    with key_protect(house, tmp_path, premises=premises) as address:
        yield Place(house, address, server, new_user(address, house, Role.MANAGER), ours)
    vault.close()
    for catalog in (ours, shared):
        await catalog.close()
    await manager.close()


def adapter_body(crk_id: str, **fields: Any) -> Mapping[str, Any]:
    """What IBM's clients send to make an adapter."""
    resource = {"name": "vc1", "profile": "native_1.0", "profile_data": {"crk_id": crk_id}, **fields}
    return {"metadata": {"collectionType": ADAPTER, "collectionTotal": 1}, "resources": [resource]}


def certificate_body(pem: str, **fields: Any) -> Mapping[str, Any]:
    """What IBM's clients send to add a certificate."""
    resource = {"name": "vcenter-1", "certificate": pem, **fields}
    return {"metadata": {"collectionType": CERTIFICATE, "collectionTotal": 1}, "resources": [resource]}


def made(place: Place, user: User | None = None, **fields: Any) -> dict[str, Any]:
    """A new adapter with a root key of its own."""
    user = user or place.user
    key = a_root_key(place.house, instance=user.instance)
    told = user.ask("POST", "/kmip_adapters", adapter_body(key.identifier, **fields))
    assert told.status == 201, told.body
    return dict(told.resource)


def admitted(place: Place, identity: Identity, adapter: str = "vc1", **fields: Any) -> dict[str, Any]:
    """A certificate of the adapter."""
    body = certificate_body(identity.pem.decode(), **fields)
    told = place.user.ask("POST", f"/kmip_adapters/{adapter}/certificates", body)
    assert told.status == 201, told.body
    return dict(told.resource)


async def at_work(place: Place) -> Client:
    """A client of a new adapter."""
    made(place)
    identity = client()
    admitted(place, identity)
    return place.client(identity)


def listed(told: Told) -> list[dict[str, Any]]:
    """The resources of a list, whose metadata must fit."""
    found = told.json.get("resources", [])
    assert told.status == 200
    assert told.json["metadata"]["collectionTotal"] == len(found)
    assert "resources" in told.json or not found
    return list(found)


async def test_an_adapter_is_told_as_ibm_tells_it(place: Place) -> None:
    """Every field, and the same when it is looked up by identifier or name."""
    key = a_root_key(place.house)
    body = adapter_body(key.identifier, description="of the first vCenter")
    told = place.user.ask("POST", "/kmip_adapters", body)

    assert (told.status, told.headers["content-type"]) == (201, "application/json")
    assert told.json["metadata"] == {"collectionType": ADAPTER, "collectionTotal": 1}
    adapter = told.resource
    uuid.UUID(adapter["id"])
    assert adapter == {
        "id": adapter["id"],
        "name": "vc1",
        "description": "of the first vCenter",
        "profile": "native_1.0",
        "profile_data": {"crk_id": key.identifier},
        "created_at": "2027-01-15T08:00:00Z",
        "created_by": adapter["created_by"],
        "updated_at": "2027-01-15T08:00:00Z",
        "updated_by": adapter["created_by"],
    }
    assert adapter["created_by"].startswith("iam-ServiceId-")
    for name in ("vc1", adapter["id"]):
        assert place.user.ask("GET", f"/kmip_adapters/{name}").resource == adapter


async def test_a_client_of_a_new_adapter_is_served(place: Place) -> None:
    """Its keys stand under the adapter's root key, and show as standard keys of the instance."""
    at = await at_work(place)
    uid = await at.made()

    assert len(await at.material(uid)) == 32
    assert [key["name"] for key in listed(place.user.ask("GET", "/keys?extractable=true"))] == [f"vmware_kmip_{uid}"]


async def test_an_adapter_of_another_instance_stands_on_that_instance(place: Place) -> None:
    """Its key manager is named in the catalog, its keys lie there, and the first instance sees none of it."""
    other = place.other_user(Role.MANAGER)
    adapter, identity = made(place, other), client()
    other.ask("POST", "/kmip_adapters/vc1/certificates", certificate_body(identity.pem.decode()))
    uid = await place.client(identity).made()

    (instance,) = await place.shared.instances()
    assert instance.key_manager == f"embedded/{OTHER_INSTANCE}"
    assert len(listed(other.ask("GET", "/keys?extractable=true"))) == 1
    for path in ("", f"/{adapter['id']}/certificates", f"/{adapter['id']}/kmip_objects/{uid}"):
        assert place.user.ask("GET", f"/kmip_adapters/{adapter['id']}{path}").status == 404
    assert listed(place.user.ask("GET", "/kmip_adapters")) == []


async def test_an_instance_of_the_command_line_is_listed(place: Place) -> None:
    """It is the same thing."""
    manager = EmbeddedKeyManager(place.house, INSTANCE)
    eve = Administration(place.shared, {"embedded": manager}, Administrator("local-user-eve"), lambda: 5000)
    made_there = await eve.create_instance("prod.example.com")

    (adapter,) = listed(place.user.ask("GET", "/kmip_adapters"))
    assert (adapter["id"], adapter["name"]) == (made_there.identifier, "prod.example.com")
    assert (adapter["created_by"], adapter["updated_by"]) == ("local-user-eve", "local-user-eve")


async def test_adapters_are_listed_in_pages(place: Place) -> None:
    """With the number of all where it is asked for, and by root key, by its alias too."""
    key = a_root_key(place.house)
    for name in ("c", "a", "b"):
        place.user.ask("POST", "/kmip_adapters", adapter_body(key.identifier, name=f"vc-{name}"))
    made(place)
    place.user.ask("POST", f"/keys/{key.identifier}/aliases/crk")

    def names(query: str) -> list[str]:
        return [each["name"] for each in listed(place.user.ask("GET", f"/kmip_adapters?{query}"))]

    assert names("") == ["vc-a", "vc-b", "vc-c", "vc1"]
    assert names("limit=2&offset=1") == ["vc-b", "vc-c"]
    assert names(f"crk_id={key.identifier}") == names("crk_id=crk") == ["vc-a", "vc-b", "vc-c"]
    assert names("crk_id=nothing") == []
    told = place.user.ask("GET", f"/kmip_adapters?limit=1&totalCount=true&crk_id={key.identifier}")
    assert told.json["metadata"]["totalCount"] == 3
    for query in ("limit=201", "limit=0", "offset=-1"):
        refused = place.user.ask("GET", f"/kmip_adapters?{query}")
        assert (refused.status, refused.code) == (400, "INVALID_QUERY_PARAM_ERR")


async def test_a_name_that_is_missing_is_made(place: Place) -> None:
    """As IBM makes it; an empty description is none."""
    adapter = made(place, name=None, description="")
    certificate = admitted(place, client(), adapter["id"], name="")

    assert adapter["name"].startswith("kmip_adapter_")
    assert "description" not in adapter
    assert certificate["name"].startswith("kmip_cert_")
    assert max(len(each["name"]) for each in (adapter, certificate)) <= 40


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "a"}, "INVALID_FIELD_ERR"),
        ({"name": "a" * 41}, "INVALID_FIELD_ERR"),
        ({"name": "a b"}, "INVALID_FIELD_ERR"),
        ({"name": "vc1\n"}, "INVALID_FIELD_ERR"),
        ({"name": "zürich"}, "INVALID_FIELD_ERR"),
        ({"name": NOBODY}, "INVALID_FIELD_ERR"),
        ({"name": 7}, "BAD_BODY_ERR"),
        ({"description": "x" * 241}, "INVALID_FIELD_ERR"),
        ({"profile": "native_2.0"}, "INVALID_FIELD_ERR"),
        ({"profile_data": None}, "BAD_BODY_ERR"),
        ({"profile_data": {}}, "INVALID_FIELD_ERR"),
        ({"colour": "blue"}, "BAD_BODY_ERR"),
    ],
    ids=repr,
)
async def test_an_adapter_that_cannot_be_is_refused(place: Place, fields: Mapping[str, Any], code: str) -> None:
    """Nothing is made."""
    body = adapter_body(a_root_key(place.house).identifier, **fields)
    told = place.user.ask("POST", "/kmip_adapters", body)

    assert (told.status, told.code) == (400, code)
    assert await place.shared.instances() == []


async def test_a_root_key_must_be_fit(place: Place) -> None:
    """An active root key of this instance, and one that is for ever unless it is said otherwise."""
    place.other_user()
    keys = {
        "a standard key": a_standard_key(place.house),
        "disabled": a_root_key(place.house, state=KeyState.SUSPENDED),
        "expired": a_root_key(place.house, state=KeyState.DEACTIVATED),
        "deleted": a_root_key(place.house, state=KeyState.DESTROYED),
        "elsewhere": a_root_key(place.house, instance=OTHER_INSTANCE),
        "expiring": a_root_key(place.house, expires_at=place.house.now + 60),
    }
    answers = {
        what: place.user.ask("POST", "/kmip_adapters?allowExpiringKey=false", adapter_body(key.identifier))
        for what, key in keys.items()
    }

    told = {what: (answer.status, answer.code) for what, answer in answers.items()}
    assert told.pop("elsewhere") == (404, "NATIVE_CRK_ID_NOT_FOUND_ERR")
    assert set(told.values()) == {(400, "NATIVE_INVALID_CRK_ERR")}
    assert await place.shared.instances() == []
    expiring = adapter_body(keys["expiring"].identifier)
    assert place.user.ask("POST", "/kmip_adapters?allowExpiringKey=true", expiring).status == 201


async def test_a_root_key_may_be_named_by_its_alias(place: Place) -> None:
    """The adapter keeps the key itself: the alias may be another's tomorrow."""
    key = a_root_key(place.house)
    place.user.ask("POST", f"/keys/{key.identifier}/aliases/crk")
    told = place.user.ask("POST", "/kmip_adapters", adapter_body("crk"))

    assert told.resource["profile_data"] == {"crk_id": key.identifier}


async def test_a_name_is_an_adapter_s_alone(place: Place) -> None:
    """In its instance."""
    made(place)
    told = place.user.ask("POST", "/kmip_adapters", adapter_body(a_root_key(place.house).identifier))

    assert (told.status, told.code) == (409, "KMIP_ADAPTER_DUPLICATE_NAME_ERR")
    made(place, place.other_user(Role.MANAGER))


async def test_the_limits_are_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With codes of their own."""
    monkeypatch.setattr(service, "MOST_ADAPTERS", 1)
    monkeypatch.setattr(service, "MOST_CERTIFICATES", 1)
    made(place)
    admitted(place, client())
    adapter = place.user.ask("POST", "/kmip_adapters", adapter_body(a_root_key(place.house).identifier, name="vc2"))
    body = certificate_body(client().pem.decode(), name="two")
    certificate = place.user.ask("POST", "/kmip_adapters/vc1/certificates", body)

    assert (adapter.status, adapter.code) == (409, "KMIP_ADAPTER_QUOTA_ERR")
    assert (certificate.status, certificate.code) == (409, "KMIP_CERT_QUOTA_ERR")


async def test_a_certificate_is_told_as_ibm_tells_it(place: Place) -> None:
    """The list leaves the PEM out; IBM's own tests read the answer of the POST as an unknown media type."""
    adapter, identity = made(place), client(name="vcenter.example.com")
    place.house.clock.go_on(5)  # type: ignore[attr-defined]
    body = certificate_body(identity.pem.decode())
    told = place.user.ask("POST", f"/kmip_adapters/{adapter['id']}/certificates", body)

    assert (told.status, told.headers["content-type"]) == (201, CERTIFICATE)
    added = told.resource
    assert added == {
        "id": identifier_of(identity.fingerprint),
        "name": "vcenter-1",
        "certificate": identity.pem.decode(),
        "created_at": "2027-01-15T08:00:05Z",
        "created_by": adapter["created_by"],
    }
    for name in ("vcenter-1", added["id"]):
        assert place.user.ask("GET", f"/kmip_adapters/vc1/certificates/{name}").resource == added
    told = place.user.ask("GET", "/kmip_adapters/vc1/certificates?totalCount=true")
    assert listed(told) == [{field: value for field, value in added.items() if field != "certificate"}]
    assert told.json["metadata"]["totalCount"] == 1
    changed = place.user.ask("GET", "/kmip_adapters/vc1").resource
    assert (changed["created_at"], changed["updated_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:05Z")


async def test_certificates_are_listed_in_pages(place: Place) -> None:
    """In the order of their coming."""
    made(place)
    for n in range(3):
        admitted(place, client(), name=f"cert-{n}")
        place.house.clock.go_on(1)  # type: ignore[attr-defined]
    told = place.user.ask("GET", "/kmip_adapters/vc1/certificates?limit=2&offset=1&totalCount=true")

    assert [each["name"] for each in listed(told)] == ["cert-1", "cert-2"]
    assert told.json["metadata"]["totalCount"] == 3


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda pem: "",
        lambda pem: "no certificate",
        lambda pem: pem + pem,
        lambda pem: "subject=/CN=vc\n" + pem,
        lambda pem: pem.replace("CERTIFICATE", "X509 CRL"),
        lambda pem: pem.replace("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nAAAA"),
        lambda pem: pem[:200] + pem[-26:],
        lambda pem: "x" * 40_000,
        lambda pem: issue("small").key_pem.decode(),
    ],
)
async def test_only_one_certificate_in_pem_is_taken(place: Place, spoilt: Any) -> None:
    """No chain, no comment, no key; nothing of the value is in the answer."""
    made(place)
    pem = spoilt(client().pem.decode())
    told = place.user.ask("POST", "/kmip_adapters/vc1/certificates", certificate_body(pem))

    assert (told.status, told.code) == (400, "INVALID_FIELD_ERR")
    assert told.json["resources"][0]["reasons"][0]["target"] == {"type": "field", "name": "certificate"}
    assert await place.shared.certificates() == []
    assert len(pem) < 100 or pem[60:100].encode() not in told.body


async def test_a_certificate_is_given_once(place: Place) -> None:
    """Three ways to do otherwise, each with its code; another tenant's adapter is not named."""
    identity, other = client(), place.other_user(Role.MANAGER)
    made(place)
    made(place, name="vc2")
    made(place, other, name="secret-name")
    admitted(place, identity)

    def refused(user: User, path: str, who: Identity, name: str) -> Told:
        return user.ask("POST", f"/kmip_adapters/{path}/certificates", certificate_body(who.pem.decode(), name=name))

    answers = [
        refused(place.user, "vc1", identity, "again"),
        refused(place.user, "vc1", client(), "vcenter-1"),
        refused(place.user, "vc2", identity, "vcenter-1"),
        refused(other, "secret-name", identity, "vcenter-1"),
    ]
    assert [(each.status, each.code) for each in answers] == [
        (409, "KMIP_CERT_DUPLICATE_ERR"),
        (409, "KMIP_CERT_DUPLICATE_NAME_ERR"),
        (409, "KMIP_CERT_REUSE_ERR"),
        (409, "KMIP_CERT_REUSE_ERR"),
    ]
    assert b"vc1" not in answers[-1].body
    text = answers[-1].json["resources"][0]["errorMsg"]
    assert text.startswith("Conflict: KMIP Client Certificate could not be added: ")
    assert refused(place.user, "vc2", client(), "vcenter-1").status == 201


async def test_a_deleted_certificate_counts_no_more(place: Place) -> None:
    """At the next request of a client that was served just now; what it has made names it still."""
    at = await at_work(place)
    uid = await at.made()
    before = place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects/{uid}").resource
    assert place.user.ask("DELETE", "/kmip_adapters/vc1/certificates/vcenter-1").status == 204

    assert await at.refused(create()) == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    assert place.user.ask("DELETE", "/kmip_adapters/vc1/certificates/vcenter-1").code == "KMIP_CERT_NOT_FOUND_ERR"
    assert place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects/{uid}").resource == before


async def test_objects_are_told_as_ibm_tells_them(place: Place) -> None:
    """Who has made them by certificate, and who stands behind the certificate; no material, ever."""
    at = await at_work(place)
    uid = await at.made()
    material = await at.material(uid)
    place.server.clock.now += 5
    await at(activate(uid))
    (certificate,) = listed(place.user.ask("GET", "/kmip_adapters/vc1/certificates"))
    who = (certificate["id"], certificate["created_by"])

    told = place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects/{uid}")
    assert told.resource == {
        "id": uid,
        "kmip_object_type": 2,
        "state": 2,
        "created_at": "2027-01-15T08:00:00Z",
        "created_by_kmip_client_cert_id": who[0],
        "created_by": who[1],
        "updated_at": "2027-01-15T08:00:05Z",
        "updated_by_kmip_client_cert_id": who[0],
        "updated_by": who[1],
        "recoverable": False,
    }
    told_all = place.user.ask("GET", "/kmip_adapters/vc1/kmip_objects")
    assert listed(told_all) == [told.resource]
    assert "totalCount" not in told_all.json["metadata"]
    for answer in (told, told_all):
        assert material not in answer.body
        assert material.hex().encode() not in answer.body


async def test_objects_are_listed_in_pages_and_by_state(place: Place) -> None:
    """Those that live, unless it is said otherwise."""
    at = await at_work(place)
    uids = [await at.made() for _ in range(5)]
    for uid in uids[:2]:
        await at(activate(uid))
    await at(destroy(uids[4]))

    def found(query: str) -> list[int]:
        told = place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects?{query}&totalCount=true")
        held = listed(told)
        totals.append(told.json["metadata"]["totalCount"])
        return [uids.index(each["id"]) for each in held]

    totals: list[int] = []
    assert found("") == found("state=") == found("state=1,2,3,4") == [0, 1, 2, 3]
    assert found("limit=2&offset=1") == [1, 2]
    assert found("state=2") == [0, 1]
    assert found("state=5,6") == [4]
    assert found("state=3") == []
    assert totals == [4, 4, 4, 4, 2, 1, 0]
    for query in ("state=0", "state=7", "state=x", "state=1,,2", "limit=5001"):
        refused = place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects?{query}")
        assert (refused.status, refused.code) == (400, "INVALID_QUERY_PARAM_ERR")


async def test_a_deleted_object_is_destroyed(place: Place) -> None:
    """No client gets its material, and everybody who looks knows who did it."""
    at = await at_work(place)
    uid = await at.made()
    place.house.clock.go_on(9)  # type: ignore[attr-defined]
    assert place.user.ask("DELETE", f"/kmip_adapters/vc1/kmip_objects/{uid}").status == 204

    assert await at.refused(get(uid)) == ResultReason.ILLEGAL_OPERATION
    assert listed(place.user.ask("GET", "/kmip_adapters/vc1/kmip_objects")) == []
    told = place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects/{uid}").resource
    adapter = place.user.ask("GET", "/kmip_adapters/vc1").resource
    assert (told["state"], told["destroyed_at"], adapter["updated_at"]) == (5, *["2027-01-15T08:00:09Z"] * 2)
    assert told["destroyed_by"] == told["updated_by"] == adapter["created_by"]
    assert "destroyed_by_kmip_client_cert_id" not in told
    acts = [entry for entry in await place.journal() if entry["action"] == "key.destroy"]
    assert [(act["target"], act["initiator"]) for act in acts] == [(uid, adapter["created_by"])]


async def test_an_active_object_needs_force(place: Place) -> None:
    """And so does one that is destroyed already."""
    at = await at_work(place)
    uid = await at.made()
    await at(activate(uid))
    path = f"/kmip_adapters/vc1/kmip_objects/{uid}"

    refused = place.user.ask("DELETE", path)
    assert (refused.status, refused.code) == (409, "KMIP_OBJECT_INVALID_STATE_ERR")
    assert len(await at.material(uid)) == 32
    assert place.user.ask("DELETE", f"{path}?force=true").status == 204
    assert await at.refused(get(uid)) == ResultReason.ILLEGAL_OPERATION
    assert place.user.ask("DELETE", path).code == "KMIP_OBJECT_INVALID_STATE_ERR"
    assert place.user.ask("DELETE", f"{path}?force=true").status == 204


async def test_an_adapter_with_objects_stays(place: Place) -> None:
    """Until the last of them is destroyed; then all goes, and the root key is free."""
    at = await at_work(place)
    uid = await at.made()
    crk = place.user.ask("GET", "/kmip_adapters/vc1").resource["profile_data"]["crk_id"]

    refused = place.user.ask("DELETE", "/kmip_adapters/vc1")
    assert (refused.status, refused.code) == (409, "KMIP_ADAPTER_HAS_OBJECTS_ERR")
    assert place.user.ask("DELETE", f"/keys/{crk}").code == "PROTECTED_RESOURCE_ERR"
    assert len(await at.material(uid)) == 32
    place.user.ask("DELETE", f"/kmip_adapters/vc1/kmip_objects/{uid}")
    assert place.user.ask("DELETE", "/kmip_adapters/vc1").status == 204

    assert [*await place.shared.instances(), *await place.shared.certificates()] == []
    assert await at.refused(create()) == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    assert listed(place.user.ask("GET", "/keys?extractable=true")) == []
    assert place.user.ask("DELETE", "/kmip_adapters/vc1").code == "KMIP_ADAPTER_NOT_FOUND_ERR"
    assert place.user.ask("DELETE", f"/keys/{crk}").status == 204
    actions = {entry["action"] for entry in await place.journal()}
    assert {"instance.create", "certificate.add", "Create", "key.destroy", "instance.remove"} <= actions


async def test_a_root_key_that_is_gone_withholds_the_keys(place: Place) -> None:
    """What deleting it by force means to clients, once the vault has let go."""
    at = await at_work(place)
    uid = await at.made()
    crk = place.user.ask("GET", "/kmip_adapters/vc1").resource["profile_data"]["crk_id"]
    await asyncio.to_thread(lifecycle.delete, place.house, a_call(), crk, force=True)
    place.server.vault.purge()

    assert await at.refused(get(uid)) == ResultReason.CRYPTOGRAPHIC_FAILURE


CALLS: Sequence[tuple[str, str, Right]] = (
    ("GET", "/kmip_adapters", Right.LIST_KMIP),
    ("GET", "/kmip_adapters?crk_id=crk", Right.LIST_KMIP),
    ("POST", "/kmip_adapters", Right.CREATE_KMIP),
    ("GET", "/kmip_adapters/vc1", Right.READ_KMIP),
    ("GET", "/kmip_adapters/vc1/certificates", Right.LIST_KMIP),
    ("POST", "/kmip_adapters/vc1/certificates", Right.CREATE_KMIP),
    ("GET", "/kmip_adapters/vc1/certificates/vcenter-1", Right.READ_KMIP),
    ("GET", "/kmip_adapters/vc1/kmip_objects", Right.LIST_KMIP),
    ("GET", "/kmip_adapters/vc1/kmip_objects/{uid}", Right.READ_KMIP),
    ("DELETE", "/kmip_adapters/vc1/kmip_objects/{uid}?force=true", Right.DELETE_KMIP),
    ("DELETE", "/kmip_adapters/vc1/certificates/vcenter-1", Right.DELETE_KMIP),
    ("DELETE", "/kmip_adapters/vc1", Right.DELETE_KMIP),
)


@pytest.mark.parametrize("role", [role for role in Role if Right.LIST_KMIP not in MATRIX[role]])
async def test_who_may_not_manage_adapters_is_told_nothing(place: Place, role: Role) -> None:
    """Every call is refused alike, whether what it names is there or not; nothing happens, and it is written down."""
    at = await at_work(place)
    uid = await at.made()
    stranger = new_user(place.address, place.house, role)
    before = len(await place.shared.journal())

    for method, path, right in CALLS:
        bodies: list[Any] = [None, {"colour": "blue"}] if method == "POST" else [None]
        for body in bodies:
            told = stranger.ask(method, path.format(uid=uid).replace("vc1", "nothing"), body)
            again = stranger.ask(method, path.format(uid=uid), body)
            assert (told.status, told.code) == (again.status, again.code) == (401, "UNAUTHORIZED_ERR")
            last = journal_of(place.house)[-1]
            assert (last["action"], last["outcome"]) == (right.value, "UNAUTHORIZED_ERR")
    assert len(await place.shared.journal()) == before
    assert (await at.material(uid)) is not None


async def test_a_grant_over_another_instance_is_none(place: Place) -> None:
    """A manager there is a stranger here."""
    other = place.other_user(Role.MANAGER)
    other.instance = INSTANCE
    made(place)

    for method, path, _ in CALLS:
        assert other.ask(method, path.format(uid=NOBODY)).status == 401


async def test_a_manager_of_adapters_needs_no_other_right(place: Place) -> None:
    """The role that is made for it does it all."""
    user = new_user(place.address, place.house, Role.KMIP_ADAPTER_MANAGER)
    made(place, user)
    identity = client()
    body = certificate_body(identity.pem.decode())
    assert user.ask("POST", "/kmip_adapters/vc1/certificates", body).status == 201
    uid = await place.client(identity).made()

    answers = [user.ask(method, path.format(uid=uid)).status for method, path, _ in CALLS if method != "POST"]
    assert answers == [200] * 7 + [204] * 3


async def test_what_is_not_there_is_not_found(place: Place) -> None:
    """Each noun has its code."""
    made(place)
    answers = [
        place.user.ask("GET", "/kmip_adapters/nothing"),
        place.user.ask("GET", "/kmip_adapters/nothing/kmip_objects"),
        place.user.ask("GET", "/kmip_adapters/vc1/certificates/nothing"),
        place.user.ask("GET", f"/kmip_adapters/vc1/kmip_objects/{NOBODY}"),
        place.user.ask("DELETE", f"/kmip_adapters/vc1/kmip_objects/{NOBODY}?force=true"),
    ]

    assert {each.status for each in answers} == {404}
    assert [each.code for each in answers] == [
        *["KMIP_ADAPTER_NOT_FOUND_ERR"] * 2,
        "KMIP_CERT_NOT_FOUND_ERR",
        *["KMIP_OBJECT_NOT_FOUND_ERR"] * 2,
    ]


async def test_what_is_done_is_journaled_with_who_and_whence(place: Place) -> None:
    """In the catalog, in the transaction of the act, with the correlation of the request."""
    body = adapter_body(a_root_key(place.house).identifier)
    adapter = place.user.ask("POST", "/kmip_adapters", body, Correlation_Id="c-17").resource

    (entry,) = await place.journal()
    assert (entry["action"], entry["instance"], entry["target"]) == ("instance.create", adapter["id"], adapter["id"])
    assert (entry["initiator"], entry["address"]) == (adapter["created_by"], "127.0.0.1")
    assert entry["detail"]["correlation"] == "c-17"


async def test_a_catalog_that_fails_is_unavailable(place: Place) -> None:
    """IBM's clients come again after a 503."""
    crk = a_root_key(place.house).identifier
    await place.catalog.close()

    for method, path, body in (("GET", "/kmip_adapters", None), ("POST", "/kmip_adapters", adapter_body(crk))):
        told = place.user.ask(method, path, body)
        assert (told.status, told.headers["retry-after"]) == (503, "5")


async def test_the_document_tells_of_every_call(place: Place) -> None:
    """With IBM's names for them, so that generated clients read alike."""
    document = place.address.ask("GET", "/api/v2/openapi.json").json
    calls = {
        call["operationId"]
        for path, methods in document["paths"].items()
        for call in methods.values()
        if "/kmip_adapters" in path
    }

    assert calls == {
        *("get_kmip_adapters", "create_kmip_adapter", "get_kmip_adapter", "delete_kmip_adapter"),
        *("get_kmip_client_certificates", "add_kmip_client_certificate"),
        *("get_kmip_client_certificate", "delete_kmip_client_certificate"),
        *("get_kmip_objects", "get_kmip_object", "delete_kmip_object"),
    }
