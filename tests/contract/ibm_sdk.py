"""IBM's own ``keyprotect`` SDK as a key manager: what a program against Key Protect would do, on Keyrack's face."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator
from keyprotect import IbmKeyProtectApiV2
from requests.exceptions import RequestException

from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import (
    KeyManagerRefused,
    KeyManagerUnavailable,
    RootKey,
    StandardKey,
    Unwrapped,
    Wrapped,
)
from keyrack.testing.key_protect import Address

KEY = "application/vnd.ibm.kms.key+json"
PAGE = 500
_PROBE = ("probe",)


class SdkKeyManager:
    """Implements ``KeyManager`` and ``RootKeyAdministration`` through the SDK alone; a thread for each call."""

    def __init__(self, address: Address, api_key: str, instance: str) -> None:
        """Work in one key manager instance as a service ID."""
        iam = IAMAuthenticator(api_key, url=address.url)
        iam.token_manager.set_disable_ssl_verification(False)
        self._service = IbmKeyProtectApiV2(authenticator=iam)
        self._service.set_service_url(address.url)
        os.environ["REQUESTS_CA_BUNDLE"] = str(address.authority)
        self._instance = instance

    async def describe_root_key(self, root_key: str) -> RootKey:
        told = await self._ask(self._service.get_key_metadata, id=root_key)
        return _described(_resources(told)[0])

    async def list_root_keys(self) -> Sequence[RootKey]:
        told = await self._ask(
            self._service.get_keys, extractable=False, state=[0, 1, 2, 3, 5], sort="creationDate", limit=PAGE
        )
        return [_described(each) for each in _resources(told)]

    async def create_root_key(self, name: str) -> RootKey:
        return await self.describe_root_key((await self._create({"name": name, "extractable": False}))["id"])

    async def rotate_root_key(self, root_key: str) -> RootKey:
        await self._ask(self._service.rotate_key, id=root_key)
        return await self.describe_root_key(root_key)

    async def disable_root_key(self, root_key: str) -> None:
        await self._ask(self._service.disable_key, id=root_key)

    async def enable_root_key(self, root_key: str) -> None:
        await self._ask(self._service.enable_key, id=root_key)

    async def delete_root_key(self, root_key: str) -> None:
        await self._ask(self._service.delete_key, id=root_key)

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        body = {"plaintext": base64.b64encode(plaintext.reveal()).decode(), "aad": list(aad)}
        told = await self._ask(self._service.wrap_key, id=root_key, key_action_wrap_body=_body(body))
        return Wrapped(told["ciphertext"].encode(), told["keyVersion"]["id"])

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        body = {"ciphertext": ciphertext.decode("latin-1"), "aad": list(aad)}
        told = await self._ask(self._service.unwrap_key, id=root_key, key_action_unwrap_body=_body(body))
        plaintext = Secret(bytearray(base64.b64decode(told["plaintext"])))
        if "rewrappedKeyVersion" not in told:
            return Unwrapped(plaintext, told["keyVersion"]["id"])
        return Unwrapped(plaintext, told["keyVersion"]["id"], _rewrapped(told))

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        body = {"ciphertext": ciphertext.decode("latin-1"), "aad": list(aad)}
        return _rewrapped(await self._ask(self._service.rewrap_key, id=root_key, key_action_rewrap_body=_body(body)))

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        key = {"name": name, "extractable": True, "payload": base64.b64encode(payload).decode()}
        return str((await self._create(key))["id"])

    async def get_standard_key(self, identifier: str) -> StandardKey:
        key = _resources(await self._ask(self._service.get_key, id=identifier))[0]
        if "payload" not in key:
            raise KeyManagerRefused("the key has no payload any more")
        return StandardKey(key["id"], key["name"], base64.b64decode(key["payload"]))

    async def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        offset = 0
        page: list[dict[str, Any]] = [{}]
        while page:
            told = await self._ask(self._service.get_keys, extractable=True, limit=PAGE, offset=offset)
            page = _resources(told)
            offset += PAGE
            for key in page:
                if key["name"].startswith(prefix):
                    yield StandardKey(key["id"], key["name"], b"")

    async def find_standard_keys(self, name: str) -> Sequence[StandardKey]:
        return [key async for key in self.list_standard_keys(name) if key.name == name]

    async def delete_standard_key(self, identifier: str) -> None:
        try:
            await self._ask(self._service.delete_key, id=identifier)
        except KeyManagerRefused as error:
            if not isinstance(error.__cause__, ApiException) or error.__cause__.status_code not in (404, 410):
                raise

    async def probe(self, root_key: str) -> None:
        with Secret(bytearray(os.urandom(16))) as canary:
            wrapped = await self.wrap(root_key, canary, _PROBE)
            if not (await self.unwrap(root_key, wrapped.ciphertext, _PROBE)).plaintext.matches(canary):
                raise KeyManagerUnavailable("it does not give back what it has wrapped")

    async def _create(self, key: dict[str, Any]) -> Any:
        collection = {
            "metadata": {"collectionType": KEY, "collectionTotal": 1},
            "resources": [{"type": KEY, **key}],
        }
        return _resources(await self._ask(self._service.create_key, key_create_body=_body(collection)))[0]

    async def _ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """One call of the SDK; what it answers as JSON, whether the SDK has decoded it or not."""
        try:
            told = await asyncio.to_thread(call, bluemix_instance=self._instance, **arguments)
        except ApiException as error:
            kind = KeyManagerUnavailable if error.status_code in (429, 503) else KeyManagerRefused
            raise kind(error.http_response.json()["resources"][0]["errorMsg"]) from error
        except RequestException as error:
            raise KeyManagerUnavailable(str(error)) from error
        result = told.get_result()
        return result.json() if hasattr(result, "json") and told.get_status_code() != 204 else result


def _body(told: Any) -> bytes:
    return json.dumps(told).encode()


def _resources(told: Any) -> list[dict[str, Any]]:
    return list(told.get("resources", []))


def _rewrapped(told: Any) -> Wrapped:
    return Wrapped(told["ciphertext"].encode(), told["rewrappedKeyVersion"]["id"])


def _described(key: dict[str, Any]) -> RootKey:
    return RootKey(key["id"], key["name"], key["state"], key["keyVersion"]["id"], 0)
