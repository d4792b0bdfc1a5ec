"""Tokens taken apart, changed and put together again, as a forger would."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from keyrack.embedded.house import House
from keyrack.embedded.iam.records import Grant
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.signing import signing_key
from keyrack.testing.key_houses import INSTANCE

ISSUER = "https://keys.example:8444/identity"
MANAGER = Grant(role=Role.MANAGER, instance=INSTANCE)
Sign = Callable[[bytes], bytes]


def digits(octets: bytes) -> str:
    """Base64 for URLs, without padding, as in tokens."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(text: str) -> bytes:
    """The reverse of :func:`digits`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(token: str) -> dict[str, Any]:
    """What the token says of itself; nothing is verified."""
    header: dict[str, Any] = json.loads(octets(token.split(".", maxsplit=1)[0]))
    return header


def claims_of(token: str) -> dict[str, Any]:
    """What the token claims; nothing is verified."""
    claims: dict[str, Any] = json.loads(octets(token.split(".")[1]))
    return claims


def put_together(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Sign) -> str:
    """A token with the signature that ``sign`` gives over what stands before it."""
    text = f"{digits(json.dumps(header).encode())}.{digits(json.dumps(claims).encode())}"
    return f"{text}.{digits(sign(text.encode()))}"


def rs256(key: RSAPrivateKey) -> Sign:
    """Signs as tokens are signed."""
    return lambda text: key.sign(text, PKCS1v15(), SHA256())


def private_key(house: House) -> RSAPrivateKey:
    """The key with which the house signs its tokens."""
    key = signing_key(house).private_key
    assert key is not None
    return key
