"""The keystore's key among N people, of whom any M together have it and any fewer know nothing (Shamir, 1979).

For each byte of the key a polynomial of degree M - 1 over GF(2^8) is drawn, with the field of AES (FIPS 197, 4.2) and
the byte as its value at 0; share n holds the values at n. Multiplication goes through all eight bits with masks instead
of tables or branches, so that neither a cache nor a time tells what was multiplied, as far as Python allows that.
"""

import hashlib
import hmac
import random
import re
import uuid
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from math import comb
from typing import Final

from keyrack.domain.moments import rfc3339
from keyrack.domain.secret import Secret, overwrite, randomize, wipe
from keyrack.embedded.errors import KeystoreLocked

MOST: Final = 16
"""Shares of one export."""
LEAST_NEEDED: Final = 2
LONGEST: Final = 4096
"""Bytes of a share's file; one is written with some 400."""
BEGIN: Final = "-----BEGIN KEYRACK SHARE-----"
END: Final = "-----END KEYRACK SHARE-----"
_KEY: Final = 32
_LINE: Final = r"[ \t\r]*\n"
_FORM: Final = re.compile(
    rf"\s*{BEGIN}{_LINE}Keystore: (?P<keystore>[0-9a-f-]{{36}}){_LINE}Export: (?P<export>[0-9a-f-]{{36}}){_LINE}"
    rf"Share: (?P<number>[0-9]{{1,2}}) of (?P<total>[0-9]{{1,2}}){_LINE}Needed: (?P<needed>[0-9]{{1,2}}){_LINE}"
    rf"Created: (?P<created>[0-9TZ:-]{{20}}){_LINE}Check: (?P<check>[0-9a-f]{{32}}){_LINE}{_LINE}"
    rf"(?P<body>[A-Za-z0-9+/]{{43}}=){_LINE}{END}\s*".encode()
)


class UnusableShare(KeystoreLocked):
    """A share that cannot be read, or does not fit the others; the text says which one and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One person's part."""

    keystore: str
    """Identifier of the keystore whose key it is."""
    export: str
    """Identifier of the export: only shares of one export fit together."""
    number: int
    """From 1 on."""
    total: int
    needed: int
    created_at: int
    """Seconds since 1970, UTC."""
    body: Secret

    def text(self) -> bytearray:
        """The share as a small text file, which is a secret: the caller wipes it."""
        encoded = b64encode(self.body.reveal())
        text = bytearray(f"{BEGIN}\n{self._header()}Check: {self._check()}\n\n".encode())
        text += encoded
        text += f"\n{END}\n".encode()
        overwrite(encoded)
        return text

    def _header(self) -> str:
        created = rfc3339(self.created_at)
        return (
            f"Keystore: {self.keystore}\nExport: {self.export}\nShare: {self.number} of {self.total}\n"
            f"Needed: {self.needed}\nCreated: {created}\n"
        )

    def _check(self) -> str:
        """The beginning of a SHA-256 over everything else: it finds a mistyped character, and proves nothing more."""
        told = hashlib.sha256(self._header().encode())
        told.update(self.body.reveal())
        return told.hexdigest()[:32]


def split(key: Secret, *, keystore: str, needed: int, total: int, at: int) -> list[Share]:
    """As many shares as ``total``, of which ``needed`` give the key; ``at`` is now, in seconds since 1970."""
    if not LEAST_NEEDED <= needed <= total <= MOST:
        raise UnusableShare(
            f"{needed} of {total} shares is no way to share: at least {LEAST_NEEDED} are needed, no more than there "
            f"are, and there are at most {MOST}"
        )
    coefficients = [bytearray(key.reveal()), *(bytearray(len(key)) for _ in range(needed - 1))]
    for drawn in coefficients[1:]:
        randomize(drawn)
    export = str(uuid.uuid4())
    try:
        return [
            Share(
                keystore=keystore,
                export=export,
                number=number,
                total=total,
                needed=needed,
                created_at=at,
                body=Secret(_value(coefficients, number)),
            )
            for number in range(1, total + 1)
        ]
    finally:
        for coefficient in coefficients:
            wipe(coefficient)


def combine(shares: Sequence[Share]) -> Secret:
    """The key, from as many shares as are needed or more; the caller wipes it.

    Raises :class:`UnusableShare` for too few and for those that do not fit together. Whether it is the right key only
    the keystore can tell.
    """
    _check_fit(shares)
    key = bytearray(_KEY)
    numbers = [share.number for share in shares]
    for share in shares:
        weight = _weight(share.number, numbers)
        for place, octet in enumerate(share.body.reveal()):
            key[place] ^= _times(octet, weight)
    return Secret(key)


def subsets(shares: Sequence[Share], most: int = 100) -> Iterator[Sequence[Share]]:
    """Ways in which the key can be had from exactly as many shares as are needed, to try an export with.

    All of them, or ``most``, among which each share and each pair of neighbours is.
    """
    needed, total = shares[0].needed, len(shares)
    if comb(total, needed) <= most:
        yield from combinations(shares, needed)
        return
    for first in range(total):
        yield [shares[(first + step) % total] for step in range(needed)]
    for _ in range(most - total):
        yield random.sample(shares, needed)


def read(text: bytearray, name: str) -> Share:
    """The share in a file; ``name`` tells the file in an error. The caller wipes ``text``."""
    try:
        share, check = _parsed(text)
    except ValueError:
        raise UnusableShare(f"{name} is not a share: it begins with {BEGIN} and ends with {END}, whole") from None
    if not hmac.compare_digest(check.encode(), share._check().encode()):
        share.body.wipe()
        raise UnusableShare(f"{name} was mistyped or changed: its check does not fit; compare it with the original")
    return share


def _check_fit(shares: Sequence[Share]) -> None:
    if not shares:
        raise UnusableShare("no share was given")
    first = shares[0]
    for share in shares:
        if share.keystore != first.keystore:
            raise UnusableShare(
                f"share {share.number} is of the keystore {share.keystore}, and share {first.number} is of "
                f"{first.keystore}: bring shares of one keystore"
            )
        if (share.export, share.needed, share.total) != (first.export, first.needed, first.total):
            raise UnusableShare(
                f"share {share.number} is of the export {share.export}, and share {first.number} is of {first.export}: "
                "only shares of one export fit together"
            )
    numbers = [share.number for share in shares]
    double = next((number for number in numbers if numbers.count(number) > 1), None)
    if double is not None:
        raise UnusableShare(f"share {double} was given twice: {first.needed} different ones are needed")
    if len(shares) < first.needed:
        raise UnusableShare(
            f"{len(shares)} of the {first.needed} shares that are needed were given: "
            f"{first.needed - len(shares)} more of the export {first.export}"
        )


def _parsed(text: bytearray) -> tuple[Share, str]:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError
    told = {name: found[name].decode() for name in found.re.groupindex if name != "body"}
    with memoryview(text) as whole, whole[slice(*found.span("body"))] as encoded:
        decoded = a2b_base64(encoded, strict_mode=True)
    body = Secret(bytearray(decoded))
    overwrite(decoded)
    share = Share(
        keystore=told["keystore"],
        export=told["export"],
        number=int(told["number"]),
        total=int(told["total"]),
        needed=int(told["needed"]),
        created_at=int(datetime.strptime(told["created"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z").timestamp()),
        body=body,
    )
    sane = 1 <= share.number <= share.total <= MOST and LEAST_NEEDED <= share.needed <= share.total
    if not sane or len(body) != _KEY:
        body.wipe()
        raise ValueError
    return share, told["check"]


def _value(coefficients: Sequence[bytearray], at: int) -> bytearray:
    """The polynomials' values, by Horner's rule."""
    value = bytearray(len(coefficients[0]))
    for coefficient in reversed(coefficients):
        for place, octet in enumerate(coefficient):
            value[place] = _times(value[place], at) ^ octet
    return value


def _weight(number: int, numbers: Sequence[int]) -> int:
    """How much share ``number`` counts in the value at 0 (Lagrange)."""
    weight = 1
    for other in numbers:
        if other != number:  # the numbers are no secret
            weight = _times(weight, _times(other, _inverse(other ^ number)))
    return weight


def _times(one: int, other: int) -> int:
    """The product in GF(2^8)."""
    product = 0
    for _ in range(8):
        product ^= one & -(other & 1)
        one = (one << 1) ^ (0x11B & -(one >> 7))
        other >>= 1
    return product


def _inverse(octet: int) -> int:
    """The reciprocal: the 254th power."""
    power = 1
    for _ in range(254):
        power = _times(power, octet)
    return power
