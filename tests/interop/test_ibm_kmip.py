"""IBM's own SDK manages KMIP adapters of a ``keyrack serve``, and real KMIP clients use them: both of them unedited."""

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator
from keyprotect import IbmKeyProtectApiV2
from keyprotect.ibm_key_protect_api_v2 import (
    ListKMIPAdaptersWithTotalCount,
    ListKMIPClientCertificates,
    ListKMIPObjectsWithTotalCount,
    ListKMIPPartialClientCertificatesWithTotalCount,
)
from kmip.core import enums
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

from keyrack.spec.enumerations import Operation
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.process import Deployment

WITHIN = 1.0
"""Seconds within which what the API has changed counts for KMIP."""
SLACK = 1.0
"""Seconds more for a machine that does other things meanwhile."""


@dataclass(slots=True)
class Place:
    """A running Keyrack with both faces, and IBM's SDK logged in to it."""

    deployment: Deployment
    kmip: tuple[str, int]
    instance: str
    sdk: IbmKeyProtectApiV2
    directory: Path

    def call(self, name: str, **given: Any) -> Any:
        """What a method of the SDK gives; raises ``ApiException``."""
        told = getattr(self.sdk, name)(bluemix_instance=self.instance, **given).get_result()
        # IBM's SDK hands out the bare answer where the media type is not plain JSON.
        return told.json() if hasattr(told, "json") else told

    def root_key(self) -> str:
        """A new root key."""
        resource = {"name": "crk", "extractable": False, "type": "application/vnd.ibm.kms.key+json"}
        metadata = {"collectionType": "application/vnd.ibm.kms.key+json", "collectionTotal": 1}
        body = json.dumps({"metadata": metadata, "resources": [resource]}).encode()
        return str(self.call("create_key", key_create_body=body)["resources"][0]["id"])

    def adapter(self, name: str) -> dict[str, Any]:
        """A new adapter with a root key of its own."""
        resource = {"name": name, "profile": "native_1.0", "profile_data": {"crk_id": self.root_key()}}
        told = self.call("create_kmip_adapter", metadata=_one("kmip_adapter"), resources=[resource])
        return dict(told["resources"][0])

    def admit(self, adapter: str, identity: Identity) -> dict[str, Any]:
        """A certificate of an adapter."""
        told = self.call(
            "add_kmip_client_certificate",
            adapter_id=adapter,
            metadata=_one("kmip_client_certificate"),
            resources=[{"name": "vcenter-1", "certificate": identity.pem.decode()}],
        )
        return dict(ListKMIPClientCertificates.from_dict(told).to_dict()["resources"][0])

    @contextmanager
    def pykmip(self, identity: Identity) -> Iterator[ProxyKmipClient]:
        """PyKMIP, connected with this certificate."""
        (self.directory / "kmip-authority.pem").write_bytes(self.deployment.authority.pem)
        certificate, key = identity.write(self.directory, f"client-{identity.fingerprint[:8]}")
        with ProxyKmipClient(
            hostname=self.kmip[0],
            port=self.kmip[1],
            cert=str(certificate),
            key=str(key),
            ca=str(self.directory / "kmip-authority.pem"),
            kmip_version=enums.KMIPVersion.KMIP_1_4,
            ssl_version="PROTOCOL_TLS",
        ) as opened:
            yield opened

    def connect(self, identity: Identity) -> Client:
        """A bare KMIP connection."""
        return Client(self.kmip, self.deployment.context(identity))


def _one(kind: str) -> dict[str, Any]:
    return {"collectionType": f"application/vnd.ibm.kms.{kind}+json", "collectionTotal": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server for all tests; each makes adapters of its own."""
    directory = tmp_path_factory.mktemp("keyrack")
    environment = {
        "KEYRACK_KEY_MANAGER_API__ENABLED": "true",
        "KEYRACK_KEY_MANAGER_API__PORT": "0",
        "KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__STATE_CHANGE_SECONDS": "0",
    }
    deployment = Deployment(directory=directory, environment=environment).initialise()
    kmip = deployment.start()
    try:
        url = f"https://{(directory / 'run' / 'key-manager.address').read_text().strip()}"
        deployment.run("iam", "service-id", "create", "ibm", "--role", "Manager")
        api_key = deployment.read("iam", "api-key", "create", "ibm")["api_key"]
        (instance,) = deployment.read("key-manager", "instance", "list")
        authority = directory / "authority.pem"
        authority.write_bytes(deployment.authority.pem)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(authority))
            sdk = IbmKeyProtectApiV2(authenticator=IAMAuthenticator(api_key, url=url))
            sdk.set_service_url(url)
            yield Place(deployment, kmip, instance["identifier"], sdk, directory)
    finally:
        assert deployment.stop() == 0


def refused(act: Callable[[], Any]) -> tuple[int, str]:
    """Status and code of the answer that the SDK raises."""
    with pytest.raises(ApiException) as caught:
        act()
    told = caught.value.http_response.json()
    return int(caught.value.status_code), str(told["resources"][0]["reasons"][0]["code"])


def within_a_second(ready: Callable[[], bool]) -> None:
    """Wait until it is so; fail where it takes longer than is promised."""
    begun = time.monotonic()
    while not ready():
        assert time.monotonic() < begun + WITHIN + SLACK
        time.sleep(0.02)


def test_a_client_of_a_new_adapter_keeps_its_keys(place: Place) -> None:
    """Served within a second; IBM's models read all that is told of adapter, certificate and object."""
    adapter, identity = place.adapter("whole"), client(place.deployment.authority)
    certificate = place.admit("whole", identity)

    def served() -> bool:
        try:
            with place.connect(identity) as opened:
                return opened.try_(Operation.DISCOVER_VERSIONS).ok
        except (ssl.SSLError, ConnectionError):
            return False

    within_a_second(served)
    with place.pykmip(identity) as kmip:
        uid = kmip.create(enums.CryptographicAlgorithm.AES, 256)
        assert isinstance(key := kmip.get(uid), objects.SymmetricKey)
        assert len(key.value) == 32

    adapters = ListKMIPAdaptersWithTotalCount.from_dict(place.call("get_kmip_adapters", total_count=True))
    assert adapter in [each.to_dict() for each in adapters.resources]
    told = place.call("get_kmip_client_certificates", adapter_id="whole")
    (listed,) = ListKMIPPartialClientCertificatesWithTotalCount.from_dict(told).resources
    assert (listed.id, listed.name) == (certificate["id"], "vcenter-1")
    told = place.call("get_kmip_objects", adapter_id=adapter["id"], total_count=True)
    (held,) = ListKMIPObjectsWithTotalCount.from_dict(told).resources
    assert (held.id, held.kmip_object_type, held.state) == (uid, 2, 1)
    assert held.created_by_kmip_client_cert_id == certificate["id"]
    assert held.created_by == adapter["created_by"]
    assert place.call("get_kmip_object", adapter_id="whole", id=uid)["resources"] == told["resources"]
    standard = place.call("get_keys", search=f"exact:name:vmware_kmip_{uid}")
    assert [each["extractable"] for each in standard["resources"]] == [True]


def test_a_registered_key_comes_back(place: Place) -> None:
    """What a client brings is kept as what it asks for is."""
    place.adapter("brings")
    identity = client(place.deployment.authority)
    place.admit("brings", identity)
    time.sleep(WITHIN)
    material = bytes(range(32))
    with place.pykmip(identity) as kmip:
        uid = kmip.register(objects.SymmetricKey(enums.CryptographicAlgorithm.AES, 256, material))
        assert kmip.get(uid).value == material


def test_a_deleted_certificate_is_turned_away(place: Place) -> None:
    """Its open connection ends within a second, and no other begins; what it has made stays."""
    place.adapter("turned")
    identity = client(place.deployment.authority)
    place.admit("turned", identity)
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        uid = kmip.create(enums.CryptographicAlgorithm.AES, 256)
    opened = place.connect(identity)
    assert opened.try_(Operation.DISCOVER_VERSIONS).ok
    begun = time.monotonic()
    place.call("delete_kmip_client_certificate", adapter_id="turned", id="vcenter-1")

    with pytest.raises((ConnectionEnded, ConnectionError, ssl.SSLError)):
        opened.receive()
    assert time.monotonic() < begun + WITHIN + SLACK
    with pytest.raises((ConnectionEnded, ConnectionError, ssl.SSLError)):
        place.connect(identity).try_(Operation.DISCOVER_VERSIONS)
    (held,) = place.call("get_kmip_objects", adapter_id="turned")["resources"]
    assert held["id"] == uid


def test_a_deleted_object_is_gone_for_its_client(place: Place) -> None:
    """An active one by force alone; the client that has it open is told so at its next request."""
    place.adapter("objects")
    identity = client(place.deployment.authority)
    place.admit("objects", identity)
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        uid = kmip.create(enums.CryptographicAlgorithm.AES, 256)
        kmip.activate(uid)

        def delete(**given: Any) -> Any:
            return place.call("delete_kmip_object", adapter_id="objects", id=uid, **given)

        assert refused(delete) == (409, "KMIP_OBJECT_INVALID_STATE_ERR")
        assert len(kmip.get(uid).value) == 32
        delete(force=True)
        with pytest.raises(KmipOperationFailure):
            kmip.get(uid)
    assert "resources" not in place.call("get_kmip_objects", adapter_id="objects")
    (held,) = place.call("get_kmip_objects", adapter_id="objects", state=[5, 6])["resources"]
    assert (held["id"], held["state"]) == (uid, 5)


def test_an_adapter_goes_when_nothing_is_lost_with_it(place: Place) -> None:
    """Its root key is protected until then; its clients are turned away within a second."""
    adapter, identity = place.adapter("goes"), client(place.deployment.authority)
    crk = adapter["profile_data"]["crk_id"]
    place.admit("goes", identity)
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        uid = kmip.create(enums.CryptographicAlgorithm.AES, 256)
    opened = place.connect(identity)
    assert opened.try_(Operation.DISCOVER_VERSIONS).ok

    def delete() -> Any:
        return place.call("delete_kmip_adapter", id="goes")

    assert refused(delete) == (409, "KMIP_ADAPTER_HAS_OBJECTS_ERR")
    assert refused(lambda: place.call("delete_key", id=crk)) == (409, "PROTECTED_RESOURCE_ERR")
    place.call("delete_kmip_object", adapter_id="goes", id=uid)
    begun = time.monotonic()
    delete()
    with pytest.raises((ConnectionEnded, ConnectionError, ssl.SSLError)):
        opened.receive()

    assert time.monotonic() < begun + WITHIN + SLACK
    assert refused(lambda: place.call("get_kmip_adapter", id="goes")) == (404, "KMIP_ADAPTER_NOT_FOUND_ERR")
    assert "goes" not in [each["name"] for each in place.deployment.read("instance", "list")]
    place.call("delete_key", id=crk)


def test_what_the_command_line_makes_is_an_adapter(place: Place) -> None:
    """And the other way round: one thing, two faces."""
    place.deployment.run("instance", "create", "by-hand")
    place.adapter("by-sdk")

    assert place.call("get_kmip_adapter", id="by-hand")["resources"][0]["created_by"].startswith("local-user-")
    told = {each["name"]: each["storage"] for each in place.deployment.read("instance", "list")}
    assert (told["by-hand"], told["by-sdk"]) == ("catalog", "key_manager")
    identity = client(place.deployment.authority)
    place.deployment.add_client("by-sdk", identity)
    (listed,) = place.call("get_kmip_client_certificates", adapter_id="by-sdk")["resources"]
    assert listed["created_by"].startswith("local-user-")


def test_a_root_key_that_is_disabled_withholds_its_clients_keys(place: Place) -> None:
    """Within a second, also those that were served from memory just now."""
    adapter, identity = place.adapter("withholds"), client(place.deployment.authority)
    crk = adapter["profile_data"]["crk_id"]
    place.admit("withholds", identity)
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        uid = kmip.create(enums.CryptographicAlgorithm.AES, 256)
        assert len(kmip.get(uid).value) == 32
        place.call("disable_key", id=crk)

        within_a_second(lambda: is_withheld(kmip, uid))


def test_a_deleted_standard_key_withholds_one_key_and_its_restore_brings_it_back(place: Place) -> None:
    """As KMIP for VMware has it: who deletes ``vmware_kmip_<id>`` revokes that disk or VM, and no other."""
    place.adapter("revokes")
    identity = client(place.deployment.authority)
    place.admit("revokes", identity)
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        uid, other = [kmip.create(enums.CryptographicAlgorithm.AES, 256) for _ in range(2)]
        value = kmip.get(uid).value
        (standard,) = place.call("get_keys", search=f"exact:name:vmware_kmip_{uid}")["resources"]

        place.sdk.delete_key(id=standard["id"], bluemix_instance=place.instance)

        within_a_second(lambda: is_withheld(kmip, uid))
        assert len(kmip.get(other).value) == 32
        place.call("restore_key", id=standard["id"], prefer="return=representation")
        assert kmip.get(uid).value == value


def test_a_deleted_root_key_withholds_every_key_of_its_adapter(place: Place) -> None:
    """It takes ``force`` while an adapter uses it; the keys of other adapters are served on."""
    adapter, identity = place.adapter("shreds"), client(place.deployment.authority)
    place.admit("shreds", identity)
    crk = adapter["profile_data"]["crk_id"]
    time.sleep(WITHIN)
    with place.pykmip(identity) as kmip:
        made = [kmip.create(enums.CryptographicAlgorithm.AES, 256) for _ in range(3)]
        values = [kmip.get(uid).value for uid in made]
        assert refused(lambda: place.call("delete_key", id=crk)) == (409, "PROTECTED_RESOURCE_ERR")

        place.call("delete_key", id=crk, force=True, prefer="return=representation")

        within_a_second(lambda: all(is_withheld(kmip, uid) for uid in made))
        place.call("restore_key", id=crk, prefer="return=representation")
        assert [kmip.get(uid).value for uid in made] == values


def is_withheld(kmip: ProxyKmipClient, uid: str) -> bool:
    """Whether Get refuses the key."""
    try:
        kmip.get(uid)
    except KmipOperationFailure:
        return True
    return False


def test_the_sdk_can_use_the_root_key_of_an_adapter(place: Place) -> None:
    """It is a root key like others."""
    crk = place.adapter("uses")["profile_data"]["crk_id"]
    plaintext = base64.b64encode(bytes(range(32))).decode()
    wrapped = place.call("wrap_key", id=crk, key_action_wrap_body=json.dumps({"plaintext": plaintext}).encode())
    body = json.dumps({"ciphertext": wrapped["ciphertext"]}).encode()

    assert place.call("unwrap_key", id=crk, key_action_unwrap_body=body)["plaintext"] == plaintext
