"""Embedded key managers for tests: real files, a clock that is set, one instance, and callers with chosen roles."""

import shutil
import uuid
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keyrack.embedded.call import Call, Caller
from keyrack.embedded.house import House, Waits
from keyrack.embedded.iam.records import ApiKey, Grant, ServiceId
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.signing import generated, make_first
from keyrack.embedded.instances import KeyManagerInstance, KeyRing
from keyrack.embedded.root_keys.port import Keeper
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.embedded.store.change_log import ChangeLog
from keyrack.testing.clock import Clock

INSTANCE = "0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91"
"""The key manager instance that every house begins with."""
OTHER_INSTANCE = "5f3a9d20-8f5b-4a57-a7c4-61d0f2b3c4d5"
"""A second one, where a test makes it with :func:`an_instance`."""
ADMINISTRATOR = Caller(identity="local-user-test")
"""Somebody at the machine, who may everything."""


def a_house(directory: Path, *, clock: Clock | None = None, hsm: Keeper | None = None, **waits: Any) -> House:
    """A key manager with its files in ``directory`` and the instance :data:`INSTANCE`; close it.

    ``waits`` are fields of ``Waits``. Its clock stands still; :func:`go_on` lets time pass.
    """
    clock = clock or Clock()
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    made = House.create(directory / "keystore", unlock, clock)
    an_instance(made)
    made.close()
    return opened_again(directory, clock=clock, hsm=hsm, **waits)


def opened_again(
    directory: Path,
    *,
    clock: Clock | None = None,
    hsm: Keeper | None = None,
    log: ChangeLog | None = None,
    **waits: int,
) -> House:
    """The key manager of :func:`a_house` once more: after a restart, or as another process sees it."""
    unlock = KeyFile(directory / "keystore.key")
    clock = clock or Clock()
    return House.open(directory / "keystore", unlock, hsm=hsm, waits=Waits(**waits), clock=clock, log=log)


def a_copy(house: Path, to: Path) -> Path:
    """The files of a house that is closed, for another node; where they are."""
    to.mkdir()
    for file in house.iterdir():
        if file.is_file():
            shutil.copy2(file, to)
    return to


def go_on(house: House, seconds: int) -> int:
    """Let time pass for a house of :func:`a_house`; the time then."""
    if not isinstance(house.clock, Clock):
        raise TypeError("the clock of this house cannot be set")
    house.clock.go_on(seconds)
    return house.now


def an_instance(house: House, identifier: str = INSTANCE, *, rings: tuple[str, ...] = ()) -> KeyManagerInstance:
    """One more key manager instance, or the one that is there with other key rings."""
    made = KeyManagerInstance(
        identifier=identifier,
        name=f"instance {identifier[:4]}",
        created_at=house.now,
        created_by=ADMINISTRATOR.identity,
        rings=tuple(
            KeyRing(identifier=ring, created_at=house.now, created_by=ADMINISTRATOR.identity) for ring in rings
        ),
    )
    with house.database.change() as unit:
        unit.put_instance(made)
    return made


def a_caller(
    house: House, *roles: Role, instance: str | None = INSTANCE, ring: str | None = None, key: str | None = None
) -> Caller:
    """A service ID with these roles over the instance, over one of its key rings or over one key, and an API key."""
    identifier = str(uuid.uuid4())
    api_key = ApiKey(
        identifier=str(uuid.uuid4()),
        name="test",
        hash=sha256(identifier.encode()).digest(),
        created_at=house.now,
        created_by=ADMINISTRATOR.identity,
    )
    service_id = ServiceId(
        identifier=f"ServiceId-{identifier}",
        name=" and ".join(roles) or "nobody",
        created_at=house.now,
        created_by=ADMINISTRATOR.identity,
        grants=tuple(Grant(role=role, instance=instance, ring=ring, key=key) for role in roles),
        api_keys=(api_key,),
    )
    with house.database.change() as unit:
        unit.put_service_id(service_id)
    return Caller(identity=service_id.iam_id, service_id=service_id.identifier, api_key=api_key.identifier)


def a_call(caller: Caller = ADMINISTRATOR, *, instance: str = INSTANCE, ring: str | None = None) -> Call:
    """A request of ``caller`` for the instance; ``ring`` is the key ring that it names."""
    return Call(caller=caller, instance=instance, ring=ring, correlation="test-correlation")


def revision(house: House) -> int:
    """How many changes the database has seen: the same number means that nothing was written."""
    with house.reading() as reading:
        return reading.revision


def sign_with_one_key(house: House) -> None:
    """Give a house a key that signs its tokens which the houses of many tests share; to make one takes longer."""
    make_first(house, _signing_key)


@cache
def _signing_key() -> RSAPrivateKey:
    return generated()
