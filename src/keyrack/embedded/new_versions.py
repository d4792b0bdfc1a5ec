"""New material of root keys: made before the transaction that keeps its version, destroyed where that fails."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import ChangeUnsettled, InvalidField, KeyNotFound, KeystoreError
from keyrack.embedded.house import House
from keyrack.embedded.keys import KeyVersion
from keyrack.embedded.root_keys.port import VersionName

LENGTHS = (16, 24, 32)
"""Bytes of root key material: AES-128, AES-192 and AES-256."""


def check_material(material: Secret) -> None:
    """Return for material that may become a root key's; raises :class:`InvalidField`."""
    if len(material) not in LENGTHS:
        raise InvalidField(
            f"The material of a root key has 16, 24 or 32 bytes, and not {len(material)}", target=("field", "payload")
        )


@contextmanager
def new_version(house: House, instance: str, key: str, material: Secret | None) -> Iterator[KeyVersion]:
    """A version with new material for a root key: 32 random bytes, or the ``material`` that was checked before.

    It may take as long as an HSM takes, so no transaction is open meanwhile; the block keeps the version in one. Where
    the block fails, the material is destroyed.
    """
    keeper = house.keeper_of(house.keeper)
    name = VersionName(instance, key, str(uuid.uuid4()))
    kept = keeper.generate(name) if material is None else keeper.take(name, material)
    try:
        yield KeyVersion(identifier=name.version, created_at=house.now, keeper=keeper.name, kept=kept)
    except ChangeUnsettled:
        raise  # Another node may have the key by now, and use the material.
    except BaseException:
        if _is_forgotten(house, name):
            with suppress(KeystoreError):
                keeper.destroy(name, kept)
        raise


def _is_forgotten(house: House, name: VersionName) -> bool:
    """Whether the database surely has no such version: a commit may fail after it is durable.

    Where nobody can tell, material without a key is better than a key without material.
    """
    try:
        house.database.follow()
        with house.reading() as reading:
            key = reading.key(name.instance, name.key)
    except KeyNotFound:
        return True
    except (KeystoreError, sqlite3.Error, OSError):
        return False
    return all(version.identifier != name.version for version in key.versions)
