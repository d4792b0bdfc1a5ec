"""What a provider of OpenID Connect says of somebody, believed only after every check of OIDC Core 3.1.3.7."""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from keyrack.service.office.refusals import NotRecognised

FAMILIES: Final[Mapping[str, str]] = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
}
"""Signatures by a key that the provider alone has. Neither ``none`` nor HMAC: whoever reads the public key could make
those."""
SKEW: Final = 60
"""Seconds by which the provider's clock may be another."""
OLDEST: Final = 600
"""Seconds since a token was made: a log-in takes no longer, and an older token is another's."""
LONGEST: Final = 32_768
LEAST_RSA: Final = 2048
"""Bits."""

Claims = Mapping[str, Any]


class BadToken(NotRecognised):
    """The token does not prove anything; the text says why."""

    def __init__(self, why: str) -> None:
        """``why`` goes on behind "the provider's token does not count: "."""
        super().__init__(f"the provider's token does not count: {why}", hint="log in again")
        self.why = why


class UnknownKey(BadToken):
    """It is signed by a key that is not known, or not yet."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to say."""

    issuer: str
    client_id: str
    nonce: str


def verified(token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, now: float) -> Claims:
    """The claims of an ID token; ``keys`` are JWKs of the provider. Raises :class:`BadToken`, :class:`UnknownKey`."""
    header = _header(token)
    key = _key(header, keys)
    try:
        claims = jwt.decode(token, key, algorithms=[header["alg"]]).claims
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken("its signature is not the provider's") from error
    _check_parties(claims, expected)
    _check_times(claims, now)
    return claims


def _header(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3 or not token.isascii():
        raise BadToken("it is no signed token")
    try:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise BadToken("it is no signed token") from None
    if not isinstance(header, dict) or header.get("alg") not in FAMILIES:
        raise BadToken("it is not signed in a way that is taken")
    return header


def _key(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> RSAKey | ECKey:
    alg, kid = header["alg"], header.get("kid")
    fitting = [each for each in keys if each.get("kty") == FAMILIES[alg] and each.get("use", "sig") == "sig"]
    fitting = [each for each in fitting if each.get("alg", alg) == alg and (kid is None or each.get("kid") == kid)]
    if not fitting:
        raise UnknownKey("it is signed by a key that the provider does not publish")
    if len(fitting) > 1:
        raise BadToken("it does not say which of the provider's keys has signed it")
    try:
        if FAMILIES[alg] == "EC":
            return ECKey.import_key(_public(fitting[0]))
        key = RSAKey.import_key(_public(fitting[0]))
        bits = key.public_key.key_size
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise BadToken("the provider's key cannot be used") from error
    if bits < LEAST_RSA:
        raise BadToken(f"the provider's key has {bits} bits, and {LEAST_RSA} are the least")
    return key


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in ("kty", "kid", "n", "e", "crv", "x", "y") if name in key}


def _check_parties(claims: Claims, expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise BadToken("it is another issuer's")
    audience = claims.get("aud")
    several = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in several:
        raise BadToken("it is meant for another program")
    party = claims.get("azp")
    if (len(several) > 1 and party is None) or (party is not None and party != expected.client_id):
        raise BadToken("it was given to another program")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise BadToken("it does not belong to this log-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise BadToken("it does not say who is meant")


def _check_times(claims: Claims, now: float) -> None:
    named = ("exp", "iat", "nbf", "auth_time")
    times: dict[str, Any] = {name: claims[name] for name in named if claims.get(name) is not None}
    for name, value in times.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadToken(f"its {name} is no time")
    if "exp" not in times or "iat" not in times:
        raise BadToken("it does not say from when and until when it counts")
    if now >= times["exp"] + SKEW:
        raise BadToken("it has expired")
    if now < times.get("nbf", 0) - SKEW or now < times["iat"] - SKEW or now < times.get("auth_time", 0) - SKEW:
        raise BadToken("it does not count yet; the clocks here and there are not the same")
    if now > times["iat"] + OLDEST + SKEW:
        raise BadToken("it was made long before this log-in")
