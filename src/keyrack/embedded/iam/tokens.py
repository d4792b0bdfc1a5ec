"""Tokens of IAM: given for an API key, signed, good for an hour, and asked about in the database at each request.

``issuer`` is, as with IBM, the URL under which ``/token`` and ``/keys`` stand: ``https://HOST:8444/identity``.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    InvalidKeyIdError,
    JoseError,
    MissingAlgorithmError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import GuestProtocol, KeyBase
from joserfc.jws import JWSRegistry

from keyrack.domain.secret import Secret
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import ApiKey, ServiceId
from keyrack.embedded.iam.service_ids import API_KEY_LENGTH, hash_of
from keyrack.embedded.iam.signing import (
    ALGORITHM,
    LIFETIME,
    Verifier,
    key_ring,
    make_first,
    signing_key,
    verifiers,
)
from keyrack.embedded.store.reading import Reading

__all__ = [
    "GRANT_TYPE",
    "LIFETIME",
    "ApiKeyNotFound",
    "Token",
    "account_of",
    "caller_in",
    "caller_of",
    "discovery",
    "public_keys",
    "token_for",
]

GRANT_TYPE = "urn:ibm:params:oauth:grant-type:apikey"
SCOPE = "ibm openid"
LEEWAY = 5
"""Seconds by which the clock of another node that has issued a token may be ahead."""
LONGEST = 4096
"""Characters of the longest token that is looked at; ours have about 1,400."""
API_KEY_CLAIM = "apikey_id"
"""Our own claim: the API key that the token was given for."""

_UNKNOWN_KEY = "Token is signed with a key that is not in use here: ask for a new one"
_MALFORMED = "Token is malformed: send the access_token that the API key was exchanged for"
_ONLY = JWSRegistry(algorithms=[ALGORITHM])


class ApiKeyNotFound(Exception):
    """No service ID has this API key. IAM has its own form of errors, so this is none of Key Protect's refusals."""

    status = 400
    code = "BXNIM0415E"

    def __init__(self) -> None:
        super().__init__("Provided API key could not be found")


@dataclass(frozen=True, slots=True)
class Token:
    """What an API key is exchanged for."""

    access_token: str = field(repr=False)
    expires_at: int
    """Seconds since 1970."""
    lifetime: int
    """Seconds."""


def token_for(house: House, api_key: Secret, issuer: str, *, address: str = "local", correlation: str = "") -> Token:
    """A token for the service ID whose API key this is; raises :class:`ApiKeyNotFound`.

    It is written into the journal before it is answered.
    """
    if len(api_key) != API_KEY_LENGTH:
        raise ApiKeyNotFound
    hashed = hash_of(house, api_key)
    with house.reading() as reading:
        _owner(reading, hashed)  # Whoever guesses takes no turn among those who write.
    signer = signing_key(house)
    with house.database.noting() as unit:
        owner, shown = _owner(unit, hashed)
        caller = Caller(identity=owner.iam_id, service_id=owner.identifier, api_key=shown.identifier)
        call = Call(caller=caller, instance="", address=address, correlation=correlation)
        unit.note(
            house.entry(
                call, "iam-identity.serviceid-apikey.login", owner.identifier, api_key=shown.identifier, name=shown.name
            )
        )
    issued = house.now
    claims = _claims(house, owner, shown, issuer, issued)
    token = jwt.encode({"alg": ALGORITHM, "kid": str(signer.kid)}, claims, signer, registry=_ONLY)
    return Token(token, issued + LIFETIME, LIFETIME)


def caller_of(house: House, bearer: str, issuer: str | None = None) -> Caller:
    """Who speaks with this token, as the database says now; raises :class:`Unauthorised`, which says what is wrong.

    With ``issuer`` only its tokens count. The text of a refusal never holds any of the token.
    """
    with house.reading() as reading:
        return caller_in(house, reading, bearer, issuer)


def caller_in(house: House, reading: Reading, bearer: str, issuer: str | None = None) -> Caller:
    """The same for whoever looks at more than that in one snapshot."""
    if not bearer or len(bearer) > LONGEST:
        raise Unauthorised(_MALFORMED)
    claims, verifier = _verified(bearer, key_ring(house, reading))
    _check(claims, verifier, house.now, issuer)
    service_id = reading.service_id(claims["sub"])
    api_key = claims[API_KEY_CLAIM]
    if service_id is None:
        raise Unauthorised("The service ID of this token was deleted")
    if all(each.identifier != api_key for each in service_id.api_keys):
        raise Unauthorised("The API key of this token was removed")
    return Caller(identity=service_id.iam_id, service_id=service_id.identifier, api_key=api_key)


def public_keys(house: House) -> dict[str, Any]:
    """The JWKS (RFC 7517): every public key whose tokens may be in use. The first key is made if there is none yet."""
    make_first(house)
    with house.reading() as reading:
        known = verifiers(key_ring(house, reading))
    return {"keys": [each.key.as_dict(private=False) for each in known.values() if each.counts(house.now)]}


def discovery(issuer: str) -> dict[str, str | Sequence[str]]:
    """The OpenID configuration, which stands at ``<issuer>/.well-known/openid-configuration``."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "response_types_supported": ["cloud_iam"],
        "subject_types_supported": ["public"],
        "grant_types_supported": [GRANT_TYPE],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": SCOPE.split(),
        "claims_supported": ["iss", "sub", "iat", "exp", "jti", "iam_id", "id", "realmid", "identifier", "sub_type"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
    }


def account_of(house: House) -> str:
    """The account of IBM's tokens and CRNs: here the deployment, by its keystore."""
    return house.keystore.identifier.replace("-", "")


def _owner(reading: Reading, hashed: bytes) -> tuple[ServiceId, ApiKey]:
    owner = reading.owner_of(hashed)
    if owner is None:
        raise ApiKeyNotFound
    return owner, next(each for each in owner.api_keys if each.hash == hashed)


def _claims(house: House, owner: ServiceId, shown: ApiKey, issuer: str, issued: int) -> dict[str, Any]:
    return {
        "iam_id": owner.iam_id,
        "id": owner.iam_id,
        "realmid": "iam",
        "jti": str(uuid.uuid4()),
        "identifier": owner.identifier,
        "name": owner.name,
        "sub": owner.identifier,
        "sub_type": "ServiceId",
        "account": {"valid": True, "bss": account_of(house)},
        "iat": issued,
        "exp": issued + LIFETIME,
        "iss": issuer,
        "grant_type": GRANT_TYPE,
        "scope": SCOPE,
        "client_id": "default",
        API_KEY_CLAIM: shown.identifier,
    }


@lru_cache(maxsize=1024)
def _verified(bearer: str, ring: str) -> tuple[Mapping[str, Any], Verifier]:
    """The claims, once the signature is proved to be of a key in ``ring``, by the one algorithm that we sign with.

    What is proved stays so: a client shows one token for an hour. What is not proved raises, and is not kept.
    """
    used: list[Verifier] = []

    def named(token: GuestProtocol) -> KeyBase:
        verifier = verifiers(ring).get(str(token.headers().get("kid")))
        if verifier is None:
            raise InvalidKeyIdError
        used.append(verifier)
        return verifier.key

    try:
        return jwt.decode(bearer, named, registry=_ONLY).claims, used[0]
    except (UnsupportedAlgorithmError, MissingAlgorithmError):
        told = f"Token is not signed with {ALGORITHM}"
    except InvalidKeyIdError:
        told = _UNKNOWN_KEY
    except BadSignatureError:
        told = "Token has a signature that is not valid: ask for a new one"
    except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        # What a stranger sends is taken apart before its signature is proved; it may be any JSON at all.
        told = _MALFORMED
    raise Unauthorised(told)


def _check(claims: Mapping[str, Any], verifier: Verifier, now: int, issuer: str | None) -> None:
    """Our signature stands on them, so they are of our form; what is left is whether they count here and now."""
    if claims["exp"] <= now:
        raise Unauthorised("Token is expired: ask for a new one")
    if not verifier.counts(now):
        raise Unauthorised(_UNKNOWN_KEY)
    if claims["iat"] > now + LEEWAY:
        raise Unauthorised("Token is of the future: set the clocks of all nodes by the same source")
    if issuer is not None and claims["iss"] != issuer:
        raise Unauthorised("Token is of another issuer: ask for one here")
