"""All pairs of keys that differ in instance, identifier, version or root key: no ciphertext opens in another's place.

The attacker of ``test_service_binding`` again, with the integrity root and every key check value in hand; here with
each kind of wrapped key, and each of its two bindings taken out in turn. Where both are gone the attack works for every
pair: so the tests do fail when a binding is removed.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Home, Instance
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManagerRefused
from keyrack.service.vault import blob as blobs
from keyrack.service.vault import sealing
from keyrack.service.vault.blob import Blob
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.testing.vaults import DEPLOYMENT, SteadyClock, an_instance, an_object, material

WRAPPING_KEY = b"one wrapping key for all of them"


class TellingKeyManager(MemoryKeyManager):
    """Says that it does not bind, as Hyper Protect Crypto Services may: it is sent no strings then."""

    async def binds(self, root_key: str) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of wrapped key."""

    manager: type[MemoryKeyManager]
    two_level: bool


DIRECT, UNBOUND, TWO_LEVEL = Kind(MemoryKeyManager, False), Kind(TellingKeyManager, False), Kind(MemoryKeyManager, True)


class NoAssociatedData:
    """AES-GCM that authenticates nothing beside the ciphertext."""

    def __init__(self, key: Any) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, nonce: bytes, data: Any, associated: bytes) -> bytes:
        return self._cipher.encrypt(nonce, data, None)

    def decrypt_into(self, nonce: bytes, data: Any, associated: bytes, buffer: Any) -> int:
        return self._cipher.decrypt_into(nonce, data, None, buffer)


def take_out(binding: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    if binding == "hash":
        monkeypatch.setattr(sealing, "BOUND", 0)
    elif kind.two_level:
        monkeypatch.setattr(sealing, "AESGCM", NoAssociatedData)


@dataclass(slots=True)
class Key:
    """One key of the site, as its wrapped form stands in catalog and key manager."""

    instance: Instance
    blob: Blob
    plaintext: bytes


class Site:
    """Instances, root keys that open each other's ciphertexts, and keys of two versions each."""

    def __init__(self, kind: Kind, *, binds: bool) -> None:
        self.kind = kind
        self.manager = kind.manager(binds_aad=binds)
        self.vault = Vault({"memory": self.manager}, material(b"integrity root" * 3), DEPLOYMENT, SteadyClock())

    async def keys(self, count: int) -> list[Key]:
        shared = bytes(range(32))
        roots = [(await self.manager.create_root_key(f"root {n}", shared)).identifier for n in range(2)]
        places = [an_instance(root, f"instance-{n}") for n, root in itertools.product(range(2), roots)]
        made = []
        for number in range(count):
            instance = places[number % 4]
            # Of eight keys with one identifier each two differ in instance, root key or version, or in two of them.
            managed = an_object(f"object-{number // 8}", instance.identifier)
            context = replace(context_of(managed), key_version=1 + number // 4 % 2)
            plaintext = number.to_bytes(32, "big")
            with material(plaintext) as kek:
                sealed = await self.vault.wrapping.seal(instance, context, kek, self.under(instance))
            made.append(Key(instance, blobs.parse(sealed), plaintext))
        return made

    def under(self, instance: Instance) -> tuple[str, Secret] | None:
        """For two levels, a wrapping key for each root key: of one material too, and other identifiers."""
        return (f"under {instance.root_key}", material(WRAPPING_KEY)) if self.kind.two_level else None

    async def opened(self, home: Key, moved: Key) -> bytes | None:
        """What the ciphertext of one key gives in the place of the other; ``None`` where it does not open."""
        encoded = home.blob.header.encode()
        with material(moved.plaintext) as kek:
            check_value = sealing.check_value(kek, blobs.context_hash(encoded))
        octets = blobs.unauthenticated(encoded, moved.blob.wrapped_by, moved.blob.wrapped, moved.blob.body, check_value)
        mac = self.vault.wrapping._integrity.mac(home.instance.identifier, octets)
        forged = self.vault.wrapping.verified(home.instance.identifier, octets + mac)
        at = Home("memory", home.instance.root_key)
        try:
            with await self.vault.wrapping.open(at, forged, self.under(home.instance)) as material_of:
                return bytes(material_of.reveal())
        except (CryptographicFailure, KeyManagerRefused):
            return None


def pairs(keys: list[Key]) -> Iterator[tuple[Key, Key]]:
    return itertools.permutations(keys, 2)


CASES = [
    (DIRECT, {"strings", "hash"}),
    (DIRECT, {"strings"}),
    (DIRECT, {"hash"}),
    (UNBOUND, {"hash"}),
    (TWO_LEVEL, {"strings", "hash"}),
    (TWO_LEVEL, {"strings"}),
    (TWO_LEVEL, {"hash"}),
]
NAMES = [
    f"{kind}, {' and '.join(sorted(left))}"
    for kind, left in zip(["direct"] * 3 + ["unbound"] + ["two-level"] * 3, [left for _, left in CASES], strict=True)
]


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "left"), CASES, ids=NAMES)
async def test_no_pair_opens_while_one_binding_is_left(
    kind: Kind, left: set[str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for binding in {"strings", "hash"} - left:
        take_out(binding, kind, monkeypatch)
    site = Site(kind, binds="strings" in left)
    keys = await site.keys(count)
    assert [await site.opened(key, key) for key in keys] == [key.plaintext for key in keys]

    opened = [(home, moved) for home, moved in pairs(keys) if await site.opened(home, moved) is not None]

    assert opened == []


@pytest.mark.parametrize("kind", [DIRECT, UNBOUND, TWO_LEVEL], ids=["direct", "unbound", "two-level"])
async def test_without_both_bindings_every_pair_opens(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: were this to fail, the test above would prove nothing."""
    for binding in ("strings", "hash"):
        take_out(binding, kind, monkeypatch)
    site = Site(kind, binds=False)
    keys = await site.keys(16)

    for home, moved in pairs(keys):
        assert await site.opened(home, moved) == moved.plaintext


async def test_what_does_not_bind_says_so_and_is_sent_no_strings() -> None:
    """A service that begins to check strings tomorrow must not strand what was made today."""
    site = Site(UNBOUND, binds=False)

    assert {(key.blob.header.bound, tuple(key.blob.header.aad())) for key in await site.keys(4)} == {(False, ())}
    assert {key.blob.header.bound for key in await Site(DIRECT, binds=True).keys(4)} == {True}
