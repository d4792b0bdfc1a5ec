"""IBM's own SDK of Key Protect, in the hands of a test: several people before one key manager, whose clock is set."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator
from keyprotect import IbmKeyProtectApiV2

from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.testing.key_houses import INSTANCE, a_house
from keyrack.testing.key_protect import Address, key_protect, new_api_key

KEY = "application/vnd.ibm.kms.key+json"
POLICY = "application/vnd.ibm.kms.policy+json"


@dataclass(slots=True)
class Person:
    """Somebody with the SDK and an API key."""

    address: Address
    api_key: str = field(repr=False)
    instance: str = INSTANCE
    sdk: Any = field(init=False)

    def __post_init__(self) -> None:
        """Take the SDK as its documents say."""
        self.log_in()

    def log_in(self) -> None:
        """Begin with a new token: the clock of the key manager may have gone on, and that of the SDK has not."""
        self.sdk = IbmKeyProtectApiV2(authenticator=IAMAuthenticator(self.api_key, url=self.address.url))
        self.sdk.set_service_url(self.address.url)

    def detailed(self, name: str, **given: Any) -> Any:
        """What a method of the SDK answers, with status and headers; raises ``ApiException``."""
        return getattr(self.sdk, name)(bluemix_instance=self.instance, **given)

    def call(self, name: str, **given: Any) -> Any:
        """The body of that."""
        told = self.detailed(name, **given).get_result()
        # IBM's SDK hands out the bare answer where the media type is not plain JSON.
        return told.json() if hasattr(told, "json") else told

    def one(self, name: str, **given: Any) -> dict[str, Any]:
        """The one resource of that."""
        (only,) = self.call(name, **given)["resources"]
        return dict(only)

    def create(self, name: str = "key", *, extractable: bool = False, ring: str | None = None, **key: Any) -> str:
        """Make a key; its identifier."""
        body = collection({"name": name, "extractable": extractable, "type": KEY, **key})
        return str(self.one("create_key", key_create_body=body, x_kms_key_ring=ring)["id"])

    def wrap(self, key: str, plaintext: bytes, *aad: str) -> str:
        """The ciphertext."""
        return str(self.act("wrap", key, plaintext=text(plaintext), aad=list(aad))["ciphertext"])

    def act(self, action: str, key: str, **body: Any) -> Any:
        """An action of a root key."""
        return self.call(f"{action}_key", id=key, **{f"key_action_{action}_body": octets(body)})

    def refused(self, name: str, **given: Any) -> tuple[int, str]:
        """Status and code of the refusal that the SDK raises."""
        return refusal(lambda: self.call(name, **given))

    def refused_action(self, action: str, key: str, **body: Any) -> tuple[int, str]:
        """The same of an action of a root key."""
        return refusal(lambda: self.act(action, key, **body))

    def set_instance_policy(self, kind: str, enabled: bool = True, **attributes: Any) -> None:
        """Set one policy of the instance."""
        data = {"enabled": enabled, **({"attributes": attributes} if attributes else {})}
        self.call("put_instance_policy", instance_policy_put_body=policies({"policy_type": kind, "policy_data": data}))

    def set_key_policy(self, key: str, **policy: Any) -> Any:
        """Set a policy of a key."""
        return self.call("put_policy", id=key, key_policy_put_body=policies({"type": POLICY, **policy}))


@dataclass(slots=True)
class Place:
    """A key manager, and somebody of each role in its first instance."""

    house: House
    address: Address
    directory: Path

    def person(self, *roles: Role, instance: str = INSTANCE, ring: str | None = None, key: str | None = None) -> Person:
        """Somebody new."""
        return Person(self.address, new_api_key(self.house, *roles, instance=instance, ring=ring, key=key), instance)

    @property
    def manager(self) -> Person:
        """A new manager."""
        return self.person(Role.MANAGER)

    def go_on(self, seconds: int) -> None:
        """Let time pass for the key manager."""
        self.house.clock.go_on(seconds)  # type: ignore[attr-defined]  # the clock of a test


@contextmanager
def a_place(directory: Path) -> Iterator[Place]:
    """A key manager that serves as long as the block lasts, and is trusted by ``requests``."""
    house = a_house(directory)
    try:
        with key_protect(house, directory) as address, pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(address.authority))
            yield Place(house, address, directory)
    finally:
        house.close()


def refusal(act: Callable[[], Any]) -> tuple[int, str]:
    """Status and code of the answer for which the SDK raises."""
    with pytest.raises(ApiException) as caught:
        act()
    told = caught.value.http_response.json()
    return int(caught.value.status_code), str(told["resources"][0]["reasons"][0]["code"])


def octets(told: Any) -> bytes:
    """JSON, as the SDK wants bodies of keys and actions."""
    return json.dumps(told).encode()


def collection(*resources: dict[str, Any], kind: str = KEY, total: int | None = None) -> bytes:
    """A collection, as the SDK wants bodies of keys."""
    return octets(_collected(resources, kind, total))


def policies(*resources: dict[str, Any]) -> dict[str, Any]:
    """A collection of policies, as the SDK wants them."""
    return _collected(resources, POLICY, None)


def text(plain: bytes) -> str:
    """Base64."""
    return base64.b64encode(plain).decode()


def _collected(resources: tuple[dict[str, Any], ...], kind: str, total: int | None) -> dict[str, Any]:
    metadata = {"collectionType": kind, "collectionTotal": len(resources) if total is None else total}
    return {"metadata": metadata, "resources": list(resources)}
