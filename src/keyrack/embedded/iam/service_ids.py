"""Service IDs: the identities of programs, the roles that they are granted, and the API keys that they show.

An API key is 264 random bits, so nobody guesses one, and its hash needs no salt and no slow function as a password's
does: HMAC-SHA-256 takes microseconds at each token, and one hash can be looked up. It is keyed by the keystore, so
that a copy of the database alone does not even tell whether a key that somebody found belongs to it.
"""

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import replace

from keyrack.domain.journal import Entry
from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.administration import require_administrator, require_name, require_text
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Contradiction, InvalidField, NotFound
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import ApiKey, Grant, ServiceId
from keyrack.embedded.store.reading import Reading

MOST_SERVICE_IDS = 1000
MOST_GRANTS = 100
MOST_API_KEYS = 10
LONGEST_NAME = 100
LONGEST_DESCRIPTION = 240
API_KEY_LENGTH = 44
_PREFIX = "ServiceId-"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def create_service_id(
    house: House, caller: Caller, name: str, description: str = "", grants: Sequence[Grant] = ()
) -> ServiceId:
    """Make a service ID; without grants it may do nothing.

    Raises :class:`Contradiction` where the name is taken or there are too many, and what :func:`grant` raises.
    """
    require_administrator(caller)
    _require_service_name(name)
    if description:
        require_text("the description", description, 1, LONGEST_DESCRIPTION, field="description")
    made = ServiceId(
        identifier=f"{_PREFIX}{uuid.uuid4()}",
        name=name,
        description=description,
        created_at=house.now,
        created_by=caller.identity,
        grants=tuple(dict.fromkeys(grants)),
    )
    with house.database.change() as unit:
        there = unit.service_ids()
        if any(name == each.name for each in there):
            raise Contradiction(f"there is a service ID {name!r} already: choose another name")
        if len(there) >= MOST_SERVICE_IDS:
            raise Contradiction(f"there are {MOST_SERVICE_IDS} service IDs already: delete one that nobody uses")
        for each in made.grants:
            _check(unit, each)
        _check_count(made)
        unit.put_service_id(made)
        call = Call(caller=caller, instance="")
        unit.note(house.entry(call, "iam-identity.account-serviceid.create", made.identifier, name=name))
        for each in made.grants:
            unit.note(_grant_entry(house, caller, "iam-am.policy.create", made, each))
    return made


def service_ids(house: House) -> list[ServiceId]:
    """Every service ID, oldest first."""
    with house.reading() as reading:
        return reading.service_ids()


def named(reading: Reading, name: str) -> ServiceId:
    """The service ID of this name or identifier; raises :class:`NotFound`."""
    for each in reading.service_ids():
        if name in (each.name, each.identifier, each.iam_id):
            return each
    raise NotFound(f"there is no service ID {name!r}: see 'keyrack iam service-id list'")


def api_key_named(owner: ServiceId, name: str) -> ApiKey:
    """The service ID's API key of this name or identifier; raises :class:`NotFound`."""
    for each in owner.api_keys:
        if name in (each.name, each.identifier):
            return each
    raise NotFound(
        f"the service ID {owner.name!r} has no API key {name!r}: see 'keyrack iam api-key list {owner.name}'"
    )


def delete_service_id(house: House, caller: Caller, service_id: str) -> ServiceId:
    """Delete a service ID, by name or identifier, with its grants and API keys; its tokens count no more at once."""
    require_administrator(caller)
    with house.database.change() as unit:
        found = named(unit, service_id)
        unit.remove_service_id(found.identifier)
        call = Call(caller=caller, instance="")
        unit.note(house.entry(call, "iam-identity.account-serviceid.delete", found.identifier, name=found.name))
    return found


def grant(house: House, caller: Caller, service_id: str, wanted: Grant) -> ServiceId:
    """Give a role to a service ID; it counts at its next request. Repeated, it changes nothing.

    Raises :class:`InvalidField`, :class:`InvalidInstance`, :class:`KeyRingNotFound` or :class:`KeyNotFound` for a
    grant over what is not there, and :class:`Contradiction` beyond 100 grants.
    """
    require_administrator(caller)
    with house.database.change() as unit:
        found = named(unit, service_id)
        if wanted in found.grants:
            return found
        _check(unit, wanted)
        changed = replace(found, grants=(*found.grants, wanted))
        _check_count(changed)
        unit.put_service_id(changed)
        unit.note(_grant_entry(house, caller, "iam-am.policy.create", changed, wanted))
    return changed


def revoke(house: House, caller: Caller, service_id: str, unwanted: Grant) -> ServiceId:
    """Take a grant back; the rights are gone at the next request. Raises :class:`NotFound` where there is no such."""
    require_administrator(caller)
    with house.database.change() as unit:
        found = named(unit, service_id)
        if unwanted not in found.grants:
            raise NotFound(
                f"the service ID {found.name!r} has no such grant: see 'keyrack iam service-id list', and name role "
                "and scope as they stand there"
            )
        changed = replace(found, grants=tuple(each for each in found.grants if each != unwanted))
        unit.put_service_id(changed)
        unit.note(_grant_entry(house, caller, "iam-am.policy.delete", changed, unwanted))
    return changed


def create_api_key(house: House, caller: Caller, service_id: str, name: str) -> tuple[ApiKey, Secret]:
    """Make an API key for a service ID. The key itself is answered this one time, and the caller wipes it.

    Raises :class:`Contradiction` where the service ID has one of this name, or ten already.
    """
    require_administrator(caller)
    require_name("the name of an API key", name, 1, LONGEST_NAME)
    key = _new_key()
    try:
        made = ApiKey(
            identifier=f"ApiKey-{uuid.uuid4()}",
            name=name,
            hash=hash_of(house, key),
            created_at=house.now,
            created_by=caller.identity,
        )
        _add_api_key(house, caller, service_id, made)
    except BaseException:
        key.wipe()
        raise
    return made, key


def remove_api_key(house: House, caller: Caller, service_id: str, api_key: str) -> ApiKey:
    """Remove an API key, by name or identifier: at once, also for the tokens that were given for it."""
    require_administrator(caller)
    with house.database.change() as unit:
        found = named(unit, service_id)
        gone = api_key_named(found, api_key)
        unit.put_service_id(replace(found, api_keys=tuple(each for each in found.api_keys if each is not gone)))
        unit.note(_api_key_entry(house, caller, "iam-identity.serviceid-apikey.delete", found, gone))
    return gone


def hash_of(house: House, api_key: Secret) -> bytes:
    """The keyed hash under which an API key is kept and looked up."""
    with house.keystore.derived("api keys") as key:
        return hmac.digest(key.reveal(), api_key.reveal(), hashlib.sha256)


def _add_api_key(house: House, caller: Caller, service_id: str, made: ApiKey) -> None:
    with house.database.change() as unit:
        found = named(unit, service_id)
        if any(made.name == each.name for each in found.api_keys):
            raise Contradiction(
                f"the service ID {found.name!r} has an API key {made.name!r} already: name it otherwise"
            )
        if len(found.api_keys) >= MOST_API_KEYS:
            raise Contradiction(f"the service ID {found.name!r} has {MOST_API_KEYS} API keys already: delete one")
        unit.put_service_id(replace(found, api_keys=(*found.api_keys, made)))
        unit.note(_api_key_entry(house, caller, "iam-identity.serviceid-apikey.create", found, made))


def _new_key() -> Secret:
    """Random characters of 64, written in place: no copy of the key is left behind."""
    key = bytearray(API_KEY_LENGTH)
    randomize(key)
    for index, octet in enumerate(key):
        key[index] = _ALPHABET[octet & 63]
    return Secret(key)


def _require_service_name(name: str) -> None:
    require_name("the name of a service ID", name, 1, LONGEST_NAME)
    if name.removeprefix("iam-").startswith(_PREFIX):
        raise InvalidField(
            f"the name of a service ID does not begin with {_PREFIX!r}, so that nobody takes it for an identifier",
            target=("field", "name"),
        )


def _check(reading: Reading, wanted: Grant) -> None:
    """What a grant names has to be there, or a slip of the pen would look like a right that was given."""
    if wanted.ring is not None and wanted.key is not None:
        raise InvalidField("a grant is over a key ring or over a key, not over both: leave one out")
    if wanted.instance is None:
        if wanted.ring is not None or wanted.key is not None:
            raise InvalidField("a key ring or a key belongs to one key manager instance: name that too")
        return
    instance = reading.instance(wanted.instance)
    if wanted.ring is not None:
        instance.require_ring(wanted.ring)
    # An alias may lead to another key tomorrow.
    if wanted.key is not None and reading.key(instance.identifier, wanted.key).identifier != wanted.key:
        raise InvalidField("a grant names a key by its identifier, not by an alias")


def _check_count(service_id: ServiceId) -> None:
    if len(service_id.grants) > MOST_GRANTS:
        raise Contradiction(
            f"a service ID has at most {MOST_GRANTS} grants: grant over a ring or an instance, not over single keys"
        )


def _grant_entry(house: House, caller: Caller, action: str, service_id: ServiceId, of: Grant) -> Entry:
    scope = {"ring": of.ring, "key": of.key}
    told = {name: value for name, value in scope.items() if value is not None}
    call = Call(caller=caller, instance=of.instance or "")
    return house.entry(call, action, service_id.identifier, name=service_id.name, role=str(of.role), **told)


def _api_key_entry(house: House, caller: Caller, action: str, service_id: ServiceId, api_key: ApiKey) -> Entry:
    call = Call(caller=caller, instance="")
    return house.entry(call, action, service_id.identifier, api_key=api_key.identifier, name=api_key.name)
