"""Wrap, unwrap and rewrap with root keys: Key Protect's actions.

Each wrap in software draws a random nonce of 96 bits: rotate a root key long before 2^32 wraps (NIST SP 800-38D, 8.3).
What hands out a plaintext is journaled first, and the right and the state are looked at again in that transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.call import Call
from keyrack.embedded.ciphertext import Ciphertext, bound_by, read, written
from keyrack.embedded.errors import InvalidField, KeeperUnavailable, UnprocessableCiphertext
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.keys import Action, Key, KeyVersion

MOST_PLAINTEXT = 3072
"""Bytes of the longest plaintext: 4,096 digits of base64."""
GENERATED = 32
"""Bytes of a plaintext that the key manager makes."""
_PROBE = bound_by(("keyrack probe",))


@dataclass(frozen=True, slots=True)
class WrapAnswer:
    """What a wrap gives; ``plaintext`` only where the key manager has made it, and then the caller wipes it."""

    ciphertext: bytes
    version: str
    plaintext: Secret | None = None


@dataclass(frozen=True, slots=True)
class UnwrapAnswer:
    """What an unwrap gives: the plaintext, which the caller wipes, and after a rotation the ciphertext made anew."""

    plaintext: Secret
    version: str
    """The version that has wrapped what was given."""
    rewrapped: bytes | None = None
    rewrapped_version: str | None = None


@dataclass(frozen=True, slots=True)
class RewrapAnswer:
    """The same plaintext under the newest version."""

    ciphertext: bytes
    version: str
    rewrapped_version: str


def wrap(house: House, call: Call, name: str, plaintext: Secret | None, aad: Sequence[str] = ()) -> WrapAnswer:
    """Wrap with the newest version of an active root key; without ``plaintext``, 32 random bytes are made."""
    bound = bound_by(aad)
    if plaintext is not None and len(plaintext) > MOST_PLAINTEXT:
        raise InvalidField(f"A root key wraps at most {MOST_PLAINTEXT} bytes", target=("field", "plaintext"))
    key = _usable(house, call, name, Right.WRAP, Action.WRAP)
    secret = _random() if plaintext is None else plaintext
    ciphertext = _wrapped(house, key, secret, bound)
    _journal(house, call, key, Right.WRAP, Action.WRAP)
    return WrapAnswer(ciphertext, key.newest.identifier, secret if plaintext is None else None)


def unwrap(house: House, call: Call, name: str, ciphertext: bytes, aad: Sequence[str] = ()) -> UnwrapAnswer:
    """Unwrap what any version of this root key has wrapped, under the same strings."""
    bound = bound_by(aad)
    key = _usable(house, call, name, Right.UNWRAP, Action.UNWRAP)
    version, plaintext = _opened(house, key, ciphertext, bound)
    try:
        rewrapped = None if version is key.newest else _wrapped(house, key, plaintext, bound)
        _journal(house, call, key, Right.UNWRAP, Action.UNWRAP)
    except BaseException:
        plaintext.wipe()
        raise
    return UnwrapAnswer(plaintext, version.identifier, rewrapped, key.newest.identifier if rewrapped else None)


def rewrap(house: House, call: Call, name: str, ciphertext: bytes, aad: Sequence[str] = ()) -> RewrapAnswer:
    """The same plaintext under the newest version, without handing it out."""
    bound = bound_by(aad)
    key = _usable(house, call, name, Right.REWRAP, Action.REWRAP)
    version, plaintext = _opened(house, key, ciphertext, bound)
    with plaintext:
        again = _wrapped(house, key, plaintext, bound)
    _journal(house, call, key, Right.REWRAP, Action.REWRAP)
    return RewrapAnswer(again, version.identifier, key.newest.identifier)


def prove(house: House, call: Call, name: str) -> None:
    """Return when the root key gives back, just now, what it has enciphered: an expired one does so too.

    It asks for what an unwrap asks for: on the day a root key expires, what it has wrapped still opens.
    """
    key = _usable(house, call, name, Right.UNWRAP, Action.UNWRAP)
    with _random() as canary:
        ciphertext = _wrapped(house, key, canary, _PROBE)
        with _opened(house, key, ciphertext, _PROBE)[1] as opened:
            if not canary.matches(opened):
                raise KeeperUnavailable("the root key does not give back what it has wrapped")


def _usable(house: House, call: Call, name: str, right: Right, action: Action) -> Key:
    with house.reading() as reading:
        key = reading.key_for(call, name, right)
    key.allow(action, house.now)
    return key


def _journal(house: House, call: Call, key: Key, right: Right, action: Action) -> None:
    """Decide again and write down, in one transaction: what was revoked meanwhile is not handed out."""
    if not call.journaled:
        return
    with house.noting(call, right.value, key.identifier) as unit:
        unit.key_for(call, key.identifier, right).allow(action, house.now)


def _wrapped(house: House, key: Key, plaintext: Secret, bound: bytes) -> bytes:
    version = key.newest
    keeper = house.keeper_of(version.keeper)
    enciphered = keeper.encipher(key.version_name(version), version.kept, plaintext, bound)
    return written(Ciphertext(version.identifier, enciphered))


def _opened(house: House, key: Key, ciphertext: bytes, bound: bytes) -> tuple[KeyVersion, Secret]:
    told = read(ciphertext)
    for version in reversed(key.versions):
        if version.identifier == told.version:
            keeper = house.keeper_of(version.keeper)
            return version, keeper.decipher(key.version_name(version), version.kept, told.enciphered, bound)
    raise UnprocessableCiphertext("No version of this root key has made the ciphertext")


def _random() -> Secret:
    material = bytearray(GENERATED)
    randomize(material)
    return Secret(material)
