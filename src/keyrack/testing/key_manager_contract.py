"""What every key manager must do: derive a test class from :class:`KeyManagerContract` and give it a fixture.

The fixture ``key_manager`` yields an empty key manager that can also make root keys (``RootKeyAdministration``)::

    class TestMine(KeyManagerContract):
        @pytest.fixture
        def key_manager(self): ...
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Protocol

import pytest

from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, RootKeyAdministration

AAD = ("kek1", "deployment", "instance", "object", "v1")


class Administered(KeyManager, RootKeyAdministration, Protocol):
    """A key manager whose root keys the suite can make and change."""


def a_secret(length: int = 48) -> Secret:
    """Random bytes to wrap."""
    return Secret(bytearray(os.urandom(length)))


async def refused_by(key_manager: KeyManager, root_key: str, ciphertext: bytes) -> list[str]:
    """Which uses of a root key are refused."""
    uses = {
        "wrap": key_manager.wrap(root_key, a_secret(), AAD),
        "unwrap": key_manager.unwrap(root_key, ciphertext, AAD),
        "rewrap": key_manager.rewrap(root_key, ciphertext, AAD),
        "probe": key_manager.probe(root_key),
    }
    results = await asyncio.gather(*uses.values(), return_exceptions=True)
    return [name for name, result in zip(uses, results, strict=True) if isinstance(result, KeyManagerRefused)]


EVERY_USE = ["wrap", "unwrap", "rewrap", "probe"]


class KeyManagerContract:
    """The suite. It needs no network and no clock, and leaves the key manager with the keys it has made."""

    async def test_what_was_wrapped_unwraps_to_the_same_bytes(self, key_manager: Administered) -> None:
        """Wrap and unwrap are each other's reverse, and both say which version worked."""
        root_key = await key_manager.create_root_key("root")
        secret = a_secret()
        wrapped = await key_manager.wrap(root_key.identifier, secret, AAD)

        unwrapped = await key_manager.unwrap(root_key.identifier, wrapped.ciphertext, AAD)

        assert unwrapped.plaintext.matches(secret)
        assert (root_key.version, root_key.version, None) == (wrapped.version, unwrapped.version, unwrapped.rewrapped)

    async def test_equal_plaintexts_give_different_ciphertexts(self, key_manager: Administered) -> None:
        """Nobody sees in a ciphertext that two keys are equal."""
        root_key = await key_manager.create_root_key("root")
        secret = a_secret()

        wrapped = [await key_manager.wrap(root_key.identifier, secret, AAD) for _ in range(20)]

        assert len({each.ciphertext for each in wrapped}) == 20

    @pytest.mark.parametrize(
        "other",
        [
            (),
            AAD[:-1],
            (*AAD, ""),
            tuple(reversed(AAD)),
            ("kek1d", "eployment", *AAD[2:]),
            (*AAD[:-1], "v2"),
            ("".join(AAD),),
        ],
    )
    async def test_a_ciphertext_opens_under_its_own_strings_alone(
        self, key_manager: Administered, other: Sequence[str]
    ) -> None:
        """Another sequence of strings is refused, even where the joined text is the same."""
        root_key = await key_manager.create_root_key("root")
        wrapped = await key_manager.wrap(root_key.identifier, a_secret(), AAD)

        with pytest.raises(KeyManagerRefused):
            await key_manager.unwrap(root_key.identifier, wrapped.ciphertext, other)

    async def test_the_longest_strings_are_bound_and_longer_ones_refused(self, key_manager: Administered) -> None:
        """126 strings of 255 characters, as Key Protect has it."""
        root_key = await key_manager.create_root_key("root")
        longest = ["x" * 255] * 126
        wrapped = await key_manager.wrap(root_key.identifier, a_secret(), longest)
        await key_manager.unwrap(root_key.identifier, wrapped.ciphertext, longest)

        for refused in ([*longest, ""], ["x" * 256]):
            with pytest.raises(KeyManagerRefused):
                await key_manager.wrap(root_key.identifier, a_secret(), refused)

    async def test_a_changed_ciphertext_is_refused(self, key_manager: Administered) -> None:
        """One bit anywhere, or one byte less or more."""
        root_key = await key_manager.create_root_key("root")
        ciphertext = (await key_manager.wrap(root_key.identifier, a_secret(), AAD)).ciphertext
        changed = [
            ciphertext[:position] + bytes([octet ^ 1 << position % 8]) + ciphertext[position + 1 :]
            for position, octet in enumerate(ciphertext)
        ]

        for each in (*changed, ciphertext[:-1], ciphertext + b"\0", b"", ciphertext[:12]):
            with pytest.raises(KeyManagerRefused):
                await key_manager.unwrap(root_key.identifier, each, AAD)

    async def test_a_ciphertext_of_another_root_key_is_refused(self, key_manager: Administered) -> None:
        """Root keys do not open for each other."""
        one, other = [await key_manager.create_root_key("root") for _ in range(2)]
        wrapped = await key_manager.wrap(one.identifier, a_secret(), AAD)

        with pytest.raises(KeyManagerRefused):
            await key_manager.unwrap(other.identifier, wrapped.ciphertext, AAD)

    async def test_an_unknown_root_key_is_refused(self, key_manager: Administered) -> None:
        """Whatever is asked of it."""
        refused = await refused_by(key_manager, "00000000-0000-4000-8000-000000000000", bytes(96))

        assert refused == EVERY_USE
        with pytest.raises(KeyManagerRefused):
            await key_manager.describe_root_key("00000000-0000-4000-8000-000000000000")

    async def test_after_a_rotation_old_ciphertexts_open_and_come_rewrapped(self, key_manager: Administered) -> None:
        """The new ciphertext is the newest version's and opens without another."""
        root_key = await key_manager.create_root_key("root")
        secret = a_secret()
        old = await key_manager.wrap(root_key.identifier, secret, AAD)
        rotated = await key_manager.rotate_root_key(root_key.identifier)

        unwrapped = await key_manager.unwrap(root_key.identifier, old.ciphertext, AAD)

        assert unwrapped.plaintext.matches(secret)
        assert unwrapped.rewrapped is not None
        assert (old.version, rotated.version) == (unwrapped.version, unwrapped.rewrapped.version)
        again = await key_manager.unwrap(root_key.identifier, unwrapped.rewrapped.ciphertext, AAD)
        assert again.plaintext.matches(secret)
        assert again.rewrapped is None

    async def test_rewrap_gives_the_same_key_under_the_newest_version(self, key_manager: Administered) -> None:
        """Without handing it out, and still bound to the same strings."""
        root_key = await key_manager.create_root_key("root")
        secret = a_secret()
        old = await key_manager.wrap(root_key.identifier, secret, AAD)
        rotated = await key_manager.rotate_root_key(root_key.identifier)

        rewrapped = await key_manager.rewrap(root_key.identifier, old.ciphertext, AAD)

        unwrapped = await key_manager.unwrap(root_key.identifier, rewrapped.ciphertext, AAD)
        assert (rotated.version, rotated.version) == (rewrapped.version, unwrapped.version)
        assert unwrapped.plaintext.matches(secret)

    async def test_a_disabled_root_key_refuses_until_it_is_enabled(self, key_manager: Administered) -> None:
        """At once, and everything; afterwards it works as before."""
        root_key = (await key_manager.create_root_key("root")).identifier
        wrapped = await key_manager.wrap(root_key, a_secret(), AAD)
        await key_manager.disable_root_key(root_key)

        assert await refused_by(key_manager, root_key, wrapped.ciphertext) == EVERY_USE
        assert (await key_manager.describe_root_key(root_key)).state == 2

        await key_manager.enable_root_key(root_key)
        assert await refused_by(key_manager, root_key, wrapped.ciphertext) == []
        assert (await key_manager.describe_root_key(root_key)).state == 1

    async def test_a_deleted_root_key_refuses_everything(self, key_manager: Administered) -> None:
        """It is still described, as destroyed, and cannot be enabled or deleted again."""
        root_key = (await key_manager.create_root_key("root")).identifier
        wrapped = await key_manager.wrap(root_key, a_secret(), AAD)
        await key_manager.delete_root_key(root_key)

        assert await refused_by(key_manager, root_key, wrapped.ciphertext) == EVERY_USE
        assert (await key_manager.describe_root_key(root_key)).state == 5
        for act in (key_manager.enable_root_key, key_manager.delete_root_key, key_manager.disable_root_key):
            with pytest.raises(KeyManagerRefused):
                await act(root_key)

    async def test_root_keys_are_listed_in_the_order_of_their_creation(self, key_manager: Administered) -> None:
        """Deleted ones too: they are still there to be told about."""
        made = [await key_manager.create_root_key(f"root {number}") for number in range(3)]
        await key_manager.delete_root_key(made[1].identifier)

        listed = await key_manager.list_root_keys()

        assert [key.identifier for key in made] == [key.identifier for key in listed]
        assert [key.state for key in listed] == [1, 5, 1]

    async def test_a_standard_key_comes_back_as_it_was_put(self, key_manager: Administered) -> None:
        """Every byte of the longest payload; one byte more is refused."""
        payload = os.urandom(7500)

        identifier = await key_manager.put_standard_key("vmware_kmip_1", payload)

        kept = await key_manager.get_standard_key(identifier)
        assert (identifier, "vmware_kmip_1", payload) == (kept.identifier, kept.name, kept.payload)
        with pytest.raises(KeyManagerRefused):
            await key_manager.put_standard_key("vmware_kmip_1", payload + b"\0")

    async def test_names_are_not_unique(self, key_manager: Administered) -> None:
        """Two standard keys of one name are two."""
        identifiers = {await key_manager.put_standard_key("vmware_kmip_1", payload) for payload in (b"1", b"2")}

        listed = {key.identifier async for key in key_manager.list_standard_keys("vmware_kmip_1")}

        assert identifiers == listed
        assert len(identifiers) == 2

    async def test_standard_keys_put_at_once_are_all_kept(self, key_manager: Administered) -> None:
        """More of them than fit on one page, and a listing holds names without payloads."""
        names = [f"vmware_kmip_{number}" for number in range(1200)]
        others = ["vmware_kmip", "vmware_kmiq_1", "VMWARE_KMIP_1"]

        identifiers = await asyncio.gather(*(key_manager.put_standard_key(name, b"x") for name in (*names, *others)))

        listed = [key async for key in key_manager.list_standard_keys("vmware_kmip_")]
        assert dict(zip(identifiers, names, strict=False)) == {key.identifier: key.name for key in listed}
        assert {b""} == {key.payload for key in listed}

    async def test_one_bad_put_fails_alone(self, key_manager: Administered) -> None:
        """Those that are put at the same time do not suffer from it."""
        puts = [key_manager.put_standard_key("vmware_kmip_1", bytes(size)) for size in (1, 7501, 2)]

        first, second, third = await asyncio.gather(*puts, return_exceptions=True)

        assert isinstance(second, KeyManagerRefused)
        assert isinstance(first, str)
        assert isinstance(third, str)
        assert len((await key_manager.get_standard_key(third)).payload) == 2

    async def test_a_deleted_standard_key_is_gone(self, key_manager: Administered) -> None:
        """Refused, not listed; deleting it again is no error."""
        identifier = await key_manager.put_standard_key("vmware_kmip_1", b"x")

        await key_manager.delete_standard_key(identifier)
        await key_manager.delete_standard_key(identifier)

        assert [key async for key in key_manager.list_standard_keys("vmware")] == []
        with pytest.raises(KeyManagerRefused):
            await key_manager.get_standard_key(identifier)
