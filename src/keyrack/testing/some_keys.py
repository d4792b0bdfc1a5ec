"""Keys for tests of the embedded key manager, put into its database in the state that the test begins with."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import Refusal
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState, KeyVersion
from keyrack.embedded.root_keys.port import VersionName
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, revision

PAYLOAD = b"the payload of a standard key"


def a_root_key(house: House, *, state: KeyState = KeyState.ACTIVE, versions: int = 1, **fields: Any) -> Key:
    """A root key whose versions the house's keeper has made; ``fields`` are those of ``Key``."""
    key = _a_key(house, state, extractable=False, **fields)
    return _kept(house, key, versions=tuple(_a_version(house, key) for _ in range(versions)))


def a_standard_key(house: House, *, state: KeyState = KeyState.ACTIVE, **fields: Any) -> Key:
    """A standard key with :data:`PAYLOAD`."""
    key = _a_key(house, state, extractable=True, **fields)
    with Secret(bytearray(PAYLOAD)) as payload:
        return _kept(house, key, payload=house.payloads.seal(key, payload))


def kept(house: House, key: Key) -> Key:
    """The key as the database has it now."""
    with house.reading() as reading:
        return reading.key(key.instance, key.identifier)


def payload_of(house: House, key: Key) -> bytes:
    """What a standard key holds, in clear."""
    with house.payloads.open(kept(house, key)) as payload:
        return bytes(payload.reveal())


def refusal(act: Callable[..., object], house: House, *arguments: Any, **named: Any) -> tuple[int, str]:
    """Status and code of the refusal that ``act(house, ...)`` meets; fails where there is none, or a change remains."""
    before = revision(house)
    try:
        act(house, *arguments, **named)
    except Refusal as met:
        if revision(house) != before:
            raise AssertionError(f"{met.code}, and something was changed all the same") from met
        return met.status, met.code
    raise AssertionError("it was not refused")


def journal_of(house: House) -> list[dict[str, Any]]:
    """Every record of the journal, oldest first."""
    with house.reading() as reading:
        return [json.loads(line.text) for line in reading.journal(limit=100_000)]


def _a_key(house: House, state: KeyState, *, extractable: bool, **fields: Any) -> Key:
    """Of yesterday, so that no wait counts, but a deleted one, which was deleted yesterday."""
    before = house.now - 86_400
    deleted = {"deleted_at": before, "deleted_by": ADMINISTRATOR.identity} if state is KeyState.DESTROYED else {}
    if state is KeyState.DEACTIVATED:
        state, deleted = KeyState.ACTIVE, {"expires_at": before}
    made: dict[str, Any] = {
        "identifier": str(uuid.uuid4()),
        "instance": INSTANCE,
        "name": "key of a test",
        "created_at": before,
        "created_by": ADMINISTRATOR.identity,
        "updated_at": before,
        "state_changed_at": before,
    }
    return Key(extractable=extractable, state=state, **{**made, **deleted, **fields})


def _a_version(house: House, key: Key) -> KeyVersion:
    keeper = house.keeper_of(house.keeper)
    name = VersionName(key.instance, key.identifier, str(uuid.uuid4()))
    return KeyVersion(
        identifier=name.version, created_at=key.created_at, keeper=keeper.name, kept=keeper.generate(name)
    )


def _kept(house: House, key: Key, **fields: Any) -> Key:
    made = replace(key, **fields)
    with house.database.change() as unit:
        unit.put_key(made)
    return made
