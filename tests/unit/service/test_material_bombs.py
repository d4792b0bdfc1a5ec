"""What is handed over to keep a process busy: each is done with in a moment, since others wait for the same loop."""

import base64
import contextlib
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keyrack.service.office.material import UnusableCertificate, certificates_in, request_in

AT_MOST = 1.0
"""Seconds of this process's time; the worst of these took two minutes, the least five seconds."""
LENGTH = 100_000
"""What the API takes of a certificate."""


def _large_private_key() -> bytes:
    """Of two Mersenne primes: to prove them prime takes a minute, and nobody has to."""
    p, q, e = 2**4423 - 1, 2**4253 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(e, p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _labelled(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der) + b"\n-----END CERTIFICATE-----\n"


BOMBS = {
    "blanks behind a label": b"-----BEGIN A" + b" " * LENGTH,
    "labels without an end": b"-----BEGIN A-----" * (LENGTH // 17),
    "ends without a label": b"-----END A-----" * (LENGTH // 15),
    "lines before a label": b"-----" + b"\n" * LENGTH,
    "a long label": b"-----BEGIN " + b"A " * (LENGTH // 2),
    "many small blocks": _labelled(b"\x30\x00") * (LENGTH // 62),
    "a large private key": _labelled(_large_private_key()),
    "a large private key, bare": _large_private_key(),
}


@pytest.mark.parametrize("what", BOMBS)
def test_nobody_waits_for_what_is_none(what: str) -> None:
    """Whoever may look at one instance may hand it over, and one loop serves all."""
    began = time.process_time()
    for read in (certificates_in, request_in):
        with contextlib.suppress(UnusableCertificate):
            read(BOMBS[what])
    assert time.process_time() - began < AT_MOST
