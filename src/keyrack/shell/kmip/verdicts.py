"""What a handshake has shown about a client's certificate, and which of OpenSSL's objections a pin overrules."""

from dataclasses import dataclass
from typing import Final

from keyrack.domain.instances import Admittance

DEPTH_LIMIT: Final = 4
"""Certificates above the leaf that OpenSSL looks at; they decide nothing, so the work on them is bounded."""

DATES: Final = frozenset({9, 10, 13, 14})
"""X509_V_ERR_CERT_NOT_YET_VALID, CERT_HAS_EXPIRED, ERROR_IN_CERT_NOT_BEFORE_FIELD, ERROR_IN_CERT_NOT_AFTER_FIELD."""

FORGIVEN: Final = frozenset(
    {
        0,  # X509_V_OK: the closing question about a certificate without objections
        2,  # UNABLE_TO_GET_ISSUER_CERT: a pin needs no issuer
        4,  # UNABLE_TO_DECRYPT_CERT_SIGNATURE: nor a good signature, the fingerprint covers every byte
        6,  # UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY
        7,  # CERT_SIGNATURE_FAILURE
        18,  # DEPTH_ZERO_SELF_SIGNED_CERT: what vCenter makes for itself
        19,  # SELF_SIGNED_CERT_IN_CHAIN
        20,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        21,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
        22,  # CERT_CHAIN_TOO_LONG: what is above the limit is not looked at
        24,  # INVALID_CA (before OpenSSL 3)
        25,  # PATH_LENGTH_EXCEEDED
        26,  # INVALID_PURPOSE: Extended Key Usage for servers only, Key Usage that does not sign
        29,  # SUBJECT_ISSUER_MISMATCH
        30,  # AKID_SKID_MISMATCH
        31,  # AKID_ISSUER_SERIAL_MISMATCH
        32,  # KEYUSAGE_NO_CERTSIGN
        34,  # UNHANDLED_CRITICAL_EXTENSION: odd is not untrue
        37,  # INVALID_NON_CA
        39,  # KEYUSAGE_NO_DIGITAL_SIGNATURE
        41,  # INVALID_EXTENSION
        42,  # INVALID_POLICY_EXTENSION
        46,  # UNNESTED_RESOURCE
        47,  # PERMITTED_VIOLATION
        48,  # EXCLUDED_VIOLATION
        49,  # SUBTREE_MINMAX
        51,  # UNSUPPORTED_CONSTRAINT_TYPE
        52,  # UNSUPPORTED_CONSTRAINT_SYNTAX
        53,  # UNSUPPORTED_NAME_SYNTAX
        67,  # CA_KEY_TOO_SMALL: only leaves count
        68,  # CA_MD_TOO_WEAK: a SHA-1 signature on a pin is not relied on
        79,  # INVALID_CA
    }
)
"""Verify errors at the leaf that say nothing against a certificate whose fingerprint is pinned.

A list of what is allowed: an error that is not here, one of a later OpenSSL too, refuses. Left out on purpose:
66 EE_KEY_TOO_SMALL (the proof of possession would be worth little), 23 CERT_REVOKED, 27 CERT_UNTRUSTED,
28 CERT_REJECTED, 17 OUT_OF_MEM, 94 EC_KEY_EXPLICIT_PARAMS.
"""


class NotAdmitted(Exception):
    """No authority lets this client in; the text says why, for an administrator."""


@dataclass(slots=True)
class Verdict:
    """What is known of the client of one handshake; filled in as OpenSSL asks."""

    fingerprint: str | None = None
    """SHA-256 of the leaf certificate in hexadecimal, or ``None`` while none has been seen."""
    der: bytes = b""
    known: bool = False
    outdated: bool = False
    """The certificate is expired or not yet valid, by this machine's clock."""
    reason: str = ""
    """Why it is refused, in words for an administrator; empty where it is not."""
    provisional: bool = False
    """It is not pinned, and an authority may let it in: that is judged once the handshake is over, by its chain."""
    admittance: Admittance | None = None
    """By which authority it is let in that is not pinned."""
    sent: tuple[bytes, ...] = ()
    """The certificates that came with it, in DER; kept where an authority lets it in, which is judged again later."""
