"""Tokens taken apart, changed and put together again, as a forger would."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

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
