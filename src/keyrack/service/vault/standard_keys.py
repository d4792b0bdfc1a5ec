"""Wrapped keys as standard keys of the key manager, where the customer sees them and may delete them to revoke one."""

from keyrack.ports.key_manager import KeyManager, KeyManagerUnavailable

LARGEST = 7500
"""Bytes of the longest payload that every key manager takes."""
PREFIX = "vmware_kmip_"
"""What the names of Keyrack's standard keys begin with, as those of KMIP for VMware do."""
_ATTEMPTS = 3


def name_of(unique_identifier: str) -> str:
    """The name of the standard key of an object."""
    return f"{PREFIX}{unique_identifier}"


def unique_identifier_of(name: str) -> str | None:
    """The object that a standard key of this name is of; ``None`` for a standard key that is not Keyrack's."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


class NotKept(Exception):
    """The key manager answers other bytes than it was given to keep."""


async def put(manager: KeyManager, unique_identifier: str, blob: bytes) -> str:
    """Keep a blob, read it back, compare, and answer the standard key's identifier.

    A put whose answer was lost may have been done: before it is repeated, the key is looked for by its name and
    compared, since names are not unique and a second copy would be billed and found by nobody.
    """
    name = name_of(unique_identifier)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            identifier = await manager.put_standard_key(name, blob)
            await _compare(manager, identifier, blob)
            return identifier
        except KeyManagerUnavailable:
            found = await find(manager, unique_identifier, blob)
            if found is not None:
                return found
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def find(manager: KeyManager, unique_identifier: str, blob: bytes) -> str | None:
    """The identifier of the standard key that keeps exactly this blob of the object; ``None`` where there is none."""
    name = name_of(unique_identifier)
    for listed in await manager.find_standard_keys(name):
        if (await manager.get_standard_key(listed.identifier)).payload == blob:
            return listed.identifier
    return None


async def _compare(manager: KeyManager, identifier: str, blob: bytes) -> None:
    if (await manager.get_standard_key(identifier)).payload != blob:
        raise NotKept("the key manager answers other bytes than it was given to keep")
