"""The calls of the Key Protect API that Keyrack makes, each with its path, its body and its manners."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from keyrack.adapters.key_managers.ibm import records
from keyrack.adapters.key_managers.ibm.answers import broken, content_of
from keyrack.adapters.key_managers.ibm.calls import Call, Calls
from keyrack.adapters.key_managers.ibm.iam import Tokens
from keyrack.adapters.key_managers.ibm.plaintext import json_with
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.records import ACTIVE, KeyRecord, Page
from keyrack.adapters.key_managers.ibm.settings import Settings
from keyrack.domain.secret import Secret, wipe
from keyrack.ports.key_manager import KeyManagerRefused, Reason, Unwrapped, Wrapped

T = TypeVar("T")
DEFAULT_RING: Final = "default"
PAGE: Final = 1000
"""Keys of one page of a list."""
MOST_LISTED: Final = 16 * 1_048_576
"""Bytes of the longest page: names, descriptions, tags and aliases may all be as long as they may be."""
MOST_PAGES: Final = 500
"""Pages of one list: one that has no end, as where somebody on the way leaves out the offset, ends all the same."""
MOST_STRINGS: Final = 126
LONGEST_STRING: Final = 255
"""Of the strings that a ciphertext is bound to."""
IMPORT_TOKEN_SECONDS: Final = 30.0
"""For an import token: an RSA key of 4,096 bits is made for it."""
_KEY: Final = "application/vnd.ibm.kms.key+json"
_ACTION: Final = "application/vnd.ibm.kms.key_action_{}+json"
_RING: Final = "X-Kms-Key-Ring"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CIPHERTEXT = re.compile(rb"[\x21-\x7e]+")
_SEARCH_OPTIONS: Final = ("not:", "exact:", "escape:", "alias:", "name:")


class Client:
    """One instance's API, as one identity sees it; deletions of standard keys may be another's."""

    def __init__(self, settings: Settings, calls: Calls, deleting: Tokens | None = None) -> None:
        self.calls = calls
        self._read = settings.answer_seconds
        self._write = settings.write_seconds
        self._ring = settings.key_ring
        self._deleting = deleting

    async def describe(self, key: str) -> KeyRecord:
        """A key without its payload, in whatever state; a Reader may."""
        call = Call(what=f"the description of {key}", method="GET", path=f"{_of(key)}/metadata", seconds=self._read)
        return await self.calls.make(call, records.key_in)

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """Wrap with the newest version."""
        if not len(plaintext):
            # Key Protect would make a plaintext of its own.
            raise KeyManagerRefused("there is nothing to wrap", Reason.REQUEST)
        body = json_with(_bound(aad), "plaintext", plaintext)
        return await self._act("wrap", root_key, body, records.wrapped_in)

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """Unwrap; the caller wipes the plaintext."""
        body = _json({"ciphertext": _text_of(ciphertext), **_bound(aad)})
        return await self._act("unwrap", root_key, body, records.unwrapped_in)

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """Wrap anew with the newest version."""
        body = _json({"ciphertext": _text_of(ciphertext), **_bound(aad)})
        return await self._act("rewrap", root_key, body, records.rewrapped_in)

    async def create(self, key: Mapping[str, Any], ring: str) -> KeyRecord:
        """A new key in a key ring, with all that is told of it; never repeated."""
        headers = {_RING: ring, "Content-Type": _KEY, "Prefer": "return=representation"}
        return await self.calls.make(self._creation(key, headers), records.key_in)

    async def put(self, name: str, payload: str) -> str:
        """A new standard key of the configured ring, with ``payload`` in base64; its identifier. Never repeated."""
        key = {"name": name, "extractable": True, "payload": payload}
        headers = {_RING: self._ring, "Content-Type": _KEY}
        return await self.calls.make(self._creation(key, headers), records.identifier_in)

    async def get(self, standard_key: str) -> KeyRecord:
        """A standard key with its payload."""
        return await self._in_ring(
            Call(what=f"the standard key {standard_key}", method="GET", path=_of(standard_key), seconds=self._read),
            records.key_in,
        )

    async def delete_standard_key(self, standard_key: str) -> None:
        """Delete a standard key, as the identity that may; that it is gone already is refused as such."""
        call = Call(
            what=f"the deletion of the standard key {standard_key}",
            method="DELETE",
            path=_of(standard_key),
            seconds=self._write,
            headers={"Prefer": "return=minimal"},
            changes=True,
        )
        await self._in_ring(call, _nothing, self._deleting)

    async def delete_root_key(self, root_key: str) -> None:
        """Delete a root key."""
        call = Call(
            what=f"the deletion of the root key {root_key}",
            method="DELETE",
            path=_of(root_key),
            seconds=self._write,
            headers={"Prefer": "return=minimal"},
            # It is not repeated: the second time is refused, and would hide that the first one was not.
            harmless=False,
            changes=True,
        )
        await self.calls.make(call, _nothing)

    async def change(self, action: str, root_key: str) -> None:
        """``rotate``, ``disable`` or ``enable`` a root key; never repeated."""
        call = Call(
            what=f"{action} the root key {root_key}",
            method="POST",
            path=f"{_of(root_key)}/actions/{action}",
            seconds=self._write,
            headers={"Content-Type": _ACTION.format(action)},
            body=_json({}),
            harmless=False,
            changes=True,
        )
        await self.calls.make(call, _nothing)

    async def pages(self, **query: Any) -> AsyncIterator[Page]:
        """All keys that a query finds, in every key ring that may be seen; each page has the time of a write."""
        for number in range(MOST_PAGES):
            page = await self.page(limit=PAGE, offset=number * PAGE, **query)
            yield page
            if page.length < PAGE:
                return
        raise broken("a question for keys", f"it has no end after {MOST_PAGES * PAGE} keys")

    async def page(self, **query: Any) -> Page:
        """One page of a list of keys."""
        told = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        call = Call(
            what="the list of keys",
            method="GET",
            path=f"/keys?{urlencode(told, quote_via=quote)}",
            seconds=self._write,
            most=MOST_LISTED,
        )
        return await self.calls.make(call, records.keys_in)

    async def named(self, name: str) -> Page:
        """The standard keys that a search for exactly this name finds; too many keys are refused or left out."""
        escape = "escape:" if name.startswith(_SEARCH_OPTIONS) else ""
        return await self.page(limit=PAGE, extractable=True, state=ACTIVE, search=f"exact:name:{escape}{name}")

    async def instance_policies(self) -> Sequence[Mapping[str, Any]]:
        """The policies of the instance; only a Manager may see them."""
        call = Call(what="the policies of the instance", method="GET", path="/instance/policies", seconds=self._read)
        told = (await self.calls.make(call, records.object_in)).get("resources", [])
        return [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []

    async def import_token(self) -> Mapping[str, Any]:
        """A new import token of the instance, with its public key and its nonce; it replaces the one that is there."""
        call = Call(
            what="a new import token",
            method="POST",
            path="/import_token",
            seconds=IMPORT_TOKEN_SECONDS,
            headers={"Content-Type": "application/json"},
            body=_json({"expiration": 600, "maxAllowedRetrievals": 10}),
            harmless=False,
            changes=True,
        )
        await self.calls.make(call, _nothing)
        asked = Call(what="the import token", method="GET", path="/import_token", seconds=self._write)
        return await self.calls.make(asked, records.object_in)

    def _creation(self, key: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        collection = {
            "metadata": {"collectionType": _KEY, "collectionTotal": 1},
            "resources": [{"type": _KEY, **key}],
        }
        return Call(
            what=f"the creation of the key {key['name']}",
            method="POST",
            path="/keys",
            seconds=self._write,
            headers=headers,
            body=_json(collection),
            harmless=False,
            changes=True,
            creates=True,
        )

    async def _act(self, action: str, root_key: str, body: bytearray, read: Callable[[Answer], T]) -> T:
        try:
            call = Call(
                what=f"{action} with the root key {root_key}",
                method="POST",
                path=f"{_of(root_key)}/actions/{action}",
                seconds=self._read,
                headers={"Content-Type": _ACTION.format(action)},
                body=body,
            )
            return await self.calls.make(call, read)
        finally:
            wipe(body)

    async def _in_ring(self, call: Call, read: Callable[[Answer], T], tokens: Tokens | None = None) -> T:
        """Ask in the configured key ring first, and then in all: a key may have been moved, or the configuration."""
        if self._ring == DEFAULT_RING:
            return await self.calls.make(call, read, tokens)
        try:
            return await self.calls.make(replace(call, headers={**call.headers, _RING: self._ring}), read, tokens)
        except KeyManagerRefused as refusal:
            if refusal.reason is not Reason.ABSENT:
                raise
        return await self.calls.make(call, read, tokens)


def _of(key: str) -> str:
    """The path of a key; raises :class:`KeyManagerRefused` for what cannot be the identifier of one."""
    if not _NAME.fullmatch(key):
        raise KeyManagerRefused("there is no key of such an identifier", Reason.ABSENT)
    return f"/keys/{key}"


def _bound(aad: Sequence[str]) -> Mapping[str, Any]:
    """The field ``aad``, left out where there is none; raises :class:`KeyManagerRefused` where it is too long."""
    if len(aad) > MOST_STRINGS or any(len(string) > LONGEST_STRING for string in aad):
        raise KeyManagerRefused(
            f"at most {MOST_STRINGS} strings of {LONGEST_STRING} characters can be bound to a ciphertext",
            Reason.REQUEST,
        )
    return {"aad": list(aad)} if aad else {}


def _text_of(ciphertext: bytes) -> str:
    """Key Protect's ciphertexts are texts; another one it has not made."""
    if not _CIPHERTEXT.fullmatch(ciphertext):
        raise KeyManagerRefused("the ciphertext is not one that Key Protect makes", Reason.CIPHERTEXT)
    return ciphertext.decode("ascii")


def _json(content: Mapping[str, Any]) -> bytearray:
    return bytearray(json.dumps(content, separators=(",", ":")).encode())


def _nothing(answer: Answer) -> None:
    """No content counts; but a page of somebody else's, who stands in the way, is no success."""
    content_of(answer, "what was to be done")
