"""The key that signs tokens, and the public keys that verify them, also for a while after another key has followed.

Both lie in the database, sealed under a key of the keystore, so that nobody slips in a public key of his own. Whoever
only verifies never opens the private key.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from joserfc.jwk import RSAKey

from keyrack.domain.secret import Secret, overwrite
from keyrack.embedded.administration import require_administrator
from keyrack.embedded.call import KEYRACK, Call, Caller
from keyrack.embedded.errors import TooEarly
from keyrack.embedded.house import House
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.store.codec import decode, encode
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import Unit

ALGORITHM = "RS256"
BITS = 3072
"""As strong as AES-128 (NIST SP 800-57 part 1, 5.6.1)."""
LIFETIME = 3600
"""Seconds for which a token counts."""
MARGIN = 60
"""Seconds beyond it for which an old public key is kept: a token may be signed while its key is replaced."""
MOST_KEYS = 16
PRIVATE, PUBLIC = "token signing", "token verification"
"""The names of the two values that are kept."""

_making = threading.Lock()
"""Ten first requests at once would make ten keys, to throw nine away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key as it is kept."""

    der: bytes
    until: int | None = None
    """When its last token is over, in seconds since 1970; ``None`` for the key that signs now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """All of them, the one that signs now last."""

    keys: tuple[PublicKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that is ready for use, and when its last token is over."""

    key: RSAKey
    until: int | None

    def counts(self, now: int) -> bool:
        """Whether a token that it has signed may be in use."""
        return self.until is None or self.until > now


def generated() -> RSAPrivateKey:
    """A new private key."""
    return generate_private_key(public_exponent=65537, key_size=BITS)


def make_first(house: House, make: Callable[[], RSAPrivateKey] = generated) -> None:
    """Make the first key (a fifth of a second) unless there is one."""
    if _sealed(house, PRIVATE) is None:
        with _making:
            if _sealed(house, PRIVATE) is None:
                _install(house, KEYRACK, "iam-identity.signing-key.create", make(), first=True)


def signing_key(house: House) -> RSAKey:
    """The private key, made on first use."""
    make_first(house)
    sealed = _sealed(house, PRIVATE) or b""
    with _sealing(house.keystore).open(sealed, PRIVATE, "signing key of tokens") as der:
        # It was authenticated just now; to prove the primes again would take longer than a hundred signatures.
        private = load_der_private_key(der.reveal(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, RSAPrivateKey)
    # With its public half as its dictionary, joserfc never writes the private numbers into strings that stay.
    return RSAKey(private, _jwk(private.public_key()).as_dict(), None)


def key_ring(house: House, reading: Reading) -> str:
    """The public keys as they are kept, authenticated; for :func:`verifiers`, and to tell whether they have changed."""
    sealed = reading.sealed_value(PUBLIC)
    return encode(PublicKeys()) if sealed is None else _ring(house.keystore, sealed)


@lru_cache(maxsize=16)
def verifiers(ring: str) -> Mapping[str, Verifier]:
    """The public keys of a :func:`key_ring` by their ``kid``."""
    found = {}
    for each in decode(PublicKeys, ring).keys:
        key = load_der_public_key(each.der)
        assert isinstance(key, RSAPublicKey)
        named = _jwk(key)
        found[str(named.kid)] = Verifier(named, each.until)
    return found


def rotate_signing_key(house: House, caller: Caller = KEYRACK) -> None:
    """Sign with a new key from now on; what the old one has signed counts until it is over.

    Raises :class:`TooEarly` where so many keys are in force that another would make every verification longer.
    """
    require_administrator(caller)
    _install(house, caller, "iam-identity.signing-key.rotate", generated(), first=False)


def _install(house: House, caller: Caller, action: str, private: RSAPrivateKey, *, first: bool) -> None:
    with house.database.change() as unit:
        kept = decode(PublicKeys, key_ring(house, unit)).keys
        if first and kept:
            return  # Another process was faster.
        over = house.now + LIFETIME + MARGIN
        old = [PublicKey(der=each.der, until=over if each.until is None else each.until) for each in kept]
        alive = [each for each in old if each.until is not None and each.until > house.now]
        if len(alive) >= MOST_KEYS:
            raise TooEarly(f"{MOST_KEYS} signing keys are in force already: wait until the tokens of one are over")
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        _put(house, unit, private, PublicKeys(keys=(*alive, PublicKey(der=der))))
        call = Call(caller=caller, instance="")
        unit.note(house.entry(call, action, str(_jwk(private.public_key()).kid)))


def _put(house: House, unit: Unit, private: RSAPrivateKey, public: PublicKeys) -> None:
    sealing = _sealing(house.keystore)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with Secret(bytearray(der)) as secret:
        overwrite(der)
        unit.put_sealed_value(PRIVATE, sealing.seal(secret, PRIVATE))
    unit.put_sealed_value(PUBLIC, sealing.seal(Secret(bytearray(encode(public).encode())), PUBLIC))


def _jwk(key: RSAPublicKey) -> RSAKey:
    """The key with its thumbprint (RFC 7638) as ``kid``: two keys never share one."""
    made = RSAKey(key, key, {"use": "sig", "alg": ALGORITHM})
    made.ensure_kid()
    return made


def _sealed(house: House, name: str) -> bytes | None:
    with house.reading() as reading:
        return reading.sealed_value(name)


@lru_cache(maxsize=16)
def _ring(keystore: Keystore, sealed: bytes) -> str:
    """What was sealed, authenticated: once for the same bytes, although every request asks."""
    return _sealing(keystore).open(sealed, PUBLIC, "public keys of tokens").reveal().decode()


def _sealing(keystore: Keystore) -> Sealing:
    with keystore.derived("token signing") as key:
        return Sealing(key)
