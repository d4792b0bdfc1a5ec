"""What somebody hands over in the place of a certificate: healed where that is harmless, told by its name elsewhere.

- ``pieces(material)``: each thing in it, in its order, with its kind.
- ``certificates_in(material)``, ``request_in(material)``: what was asked for, or :class:`UnusableCertificate`, which
  says what it is instead and what to hand over.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from keyrack.service.office.refusals import Unusable

Parsed = TypeVar("Parsed")


class UnusableCertificate(Unusable):
    """The input holds nothing that can be used; the text says what it is, why not, and what to hand over."""


class Kind(Enum):
    """What a piece is; the value goes on behind "this is"."""

    CERTIFICATE = "a certificate"
    REQUEST = "a certificate signing request"
    PRIVATE_KEY = "a private key"
    ENCRYPTED_KEY = "a private key under a passphrase"
    PUBLIC_KEY = "a public key"
    PKCS7 = "a PKCS #7 bundle"
    PKCS12 = "a PKCS #12 file"
    JAVA_KEYSTORE = "a Java keystore"
    REVOCATION_LIST = "a revocation list"
    PARAMETERS = "a set of key parameters"
    SSH_KEY = "an SSH key"
    FINGERPRINT = "a fingerprint"
    UNKNOWN = "something unknown"


SECRET: Final = frozenset({Kind.PRIVATE_KEY, Kind.ENCRYPTED_KEY, Kind.PKCS12, Kind.JAVA_KEYSTORE})
"""Kinds that hold, or may hold, a private key."""

LABELS: Final[Mapping[str, Kind]] = {
    "CERTIFICATE": Kind.CERTIFICATE,
    "X509 CERTIFICATE": Kind.CERTIFICATE,
    "TRUSTED CERTIFICATE": Kind.CERTIFICATE,
    "CERTIFICATE REQUEST": Kind.REQUEST,
    "NEW CERTIFICATE REQUEST": Kind.REQUEST,
    "PRIVATE KEY": Kind.PRIVATE_KEY,
    "RSA PRIVATE KEY": Kind.PRIVATE_KEY,
    "EC PRIVATE KEY": Kind.PRIVATE_KEY,
    "DSA PRIVATE KEY": Kind.PRIVATE_KEY,
    "ENCRYPTED PRIVATE KEY": Kind.ENCRYPTED_KEY,
    "OPENSSH PRIVATE KEY": Kind.PRIVATE_KEY,
    "PUBLIC KEY": Kind.PUBLIC_KEY,
    "RSA PUBLIC KEY": Kind.PUBLIC_KEY,
    "SSH2 PUBLIC KEY": Kind.SSH_KEY,
    "PKCS7": Kind.PKCS7,
    "CMS": Kind.PKCS7,
    "X509 CRL": Kind.REVOCATION_LIST,
    "EC PARAMETERS": Kind.PARAMETERS,
    "DH PARAMETERS": Kind.PARAMETERS,
    "DSA PARAMETERS": Kind.PARAMETERS,
}
"""What stands behind BEGIN, and what it means."""

INSTEAD: Final[Mapping[Kind, str]] = {
    Kind.CERTIFICATE: "not a signing request; add it as it is with 'keyrack cert add', or in vCenter choose "
    "'New Certificate Signing Request (CSR)'",
    Kind.REQUEST: "not a certificate; in vCenter choose 'vCenter Certificate' instead, or have it signed with "
    "'keyrack cert sign'",
    Kind.PRIVATE_KEY: "Keyrack never needs a client's key; hand over the certificate alone, and if others could see "
    "this input, make a new pair",
    Kind.ENCRYPTED_KEY: "Keyrack never needs a client's key; hand over the certificate alone",
    Kind.PUBLIC_KEY: "it says neither whose it is nor until when; hand over the certificate that it is in",
    Kind.PKCS7: "take the client's own certificate out of it: openssl pkcs7 -in FILE -print_certs",
    Kind.PKCS12: "it may hold a private key, which Keyrack never needs; take the certificate out of it: openssl pkcs12 "
    "-in FILE -clcerts -nokeys",
    Kind.JAVA_KEYSTORE: "export the certificate from it: keytool -exportcert -rfc -keystore FILE -alias NAME",
    Kind.REVOCATION_LIST: "hand over the certificate itself",
    Kind.PARAMETERS: "hand over the certificate itself",
    Kind.SSH_KEY: "TLS knows certificates alone; hand over a certificate in PEM (-----BEGIN CERTIFICATE-----)",
    Kind.FINGERPRINT: "hand over the certificate itself; one that has knocked already is trusted by its fingerprint: "
    "'keyrack cert trust'",
    Kind.UNKNOWN: "hand over PEM (-----BEGIN CERTIFICATE-----) or DER",
}
"""What to do about each kind where another one was wanted."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing of the input."""

    kind: Kind
    der: bytes
    """Empty where it is not DER, and for what is secret: nothing of that is held."""


_EDGE = re.compile(r"-----\s{0,8}(BEGIN|END) ([A-Z0-9]{1,20}(?: [A-Z0-9]{1,20}){0,4})\s{0,8}-----")
"""Where a block begins or ends. Each part of it is bounded: whatever is handed over, one look at it is enough."""
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,80})-----")
_WRITTEN = re.compile(rb"[0-9A-Fa-f:\s]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_HEADER = re.compile(r"^[A-Za-z0-9-]+: .*$", re.MULTILINE)
_PROSE: Final = (
    (re.compile(r"(?:[a-z0-9-]+ ?fingerprint ?=?:? ?)?(?:[0-9a-f]{2}[: ]?){20,32}\Z", re.IGNORECASE), Kind.FINGERPRINT),
    (re.compile(r"ssh-|ecdsa-sha2-"), Kind.SSH_KEY),
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_AGAIN = "copy it again, whole, from BEGIN to END"


def pieces(material: bytes) -> Sequence[Piece]:
    """Everything in the input; raises :class:`UnusableCertificate` where something in it is cut off or damaged."""
    # A fingerprint may begin with the letter 0, which is the octet that DER begins with.
    if (material[:1] == b"\x30" and not _WRITTEN.fullmatch(material)) or material[:4] == b"\xfe\xed\xfe\xed":
        return (_piece(material),)
    text = _text(material)
    edges = list(_EDGE.finditer(text))
    found = [_decoded(label, body) for label, body in _blocks(text, edges)]
    if found:
        return found
    begun = next((each[2] for each in edges if each[1] == "BEGIN"), None)
    if begun is not None:
        kind = LABELS.get(begun, Kind.UNKNOWN)
        if kind in SECRET:
            return (Piece(kind, b""),)
        raise UnusableCertificate(f"{_the(kind)} cannot be read: its END line is missing; {_AGAIN}")
    bare = "".join(text.split())
    told = next((kind for mark, kind in _PROSE if mark.match(text.strip())), None)
    if told is not None:
        return (Piece(told, b""),)
    if bare.startswith("MI") and _BASE64.fullmatch(bare):
        # The lines around it were lost on the way; what it is shows all the same.
        return (_piece(_bytes_of(bare, Kind.CERTIFICATE)),)
    return ()


def _blocks(text: str, edges: Sequence[re.Match[str]]) -> Iterator[tuple[str, str]]:
    """Label and inside of each block, from a BEGIN to the next END of the same label."""
    ends: dict[str, list[re.Match[str]]] = {}
    for each in reversed(edges):
        if each[1] == "END":
            ends.setdefault(each[2], []).append(each)
    behind = 0
    for each in edges:
        if each[1] != "BEGIN" or each.start() < behind:
            continue
        left = ends.get(each[2], [])
        while left and left[-1].start() < each.end():
            left.pop()
        if left:
            yield each[2], text[each.end() : left[-1].start()]
            behind = left[-1].end()


def kinds_of(material: bytes | bytearray) -> Sequence[Kind]:
    """What PEM blocks are in it, by their labels alone; their insides are not looked at, and nothing is copied."""
    labels = (match[1].decode() for match in _LABEL.finditer(material))
    found = [LABELS.get(label, Kind.UNKNOWN) for label in labels]
    return [Kind.ENCRYPTED_KEY, *found] if b"Proc-Type: 4,ENCRYPTED" in material else found


def certificates_in(material: bytes) -> Sequence[x509.Certificate]:
    """All certificates of the input; raises :class:`UnusableCertificate` where there is none, or a private key."""
    found = pieces(material)
    secret = next((each.kind for each in found if each.kind in SECRET), None)
    if secret is not None:
        raise UnusableCertificate(f"the input holds {secret.value}: {INSTEAD[secret]}")
    certificates = [each.der for each in found if each.kind is Kind.CERTIFICATE]
    if not certificates:
        raise UnusableCertificate(_not_wanted(found, "certificate"))
    return [_parsed(each, x509.load_der_x509_certificate, Kind.CERTIFICATE) for each in certificates]


def request_in(material: bytes) -> x509.CertificateSigningRequest:
    """The one signing request of the input; raises :class:`UnusableCertificate`."""
    found = pieces(material)
    requests = [each.der for each in found if each.kind is Kind.REQUEST]
    if not requests:
        raise UnusableCertificate(_not_wanted(found, "signing request"))
    if len(requests) > 1:
        raise UnusableCertificate(f"the input holds {len(requests)} signing requests; hand over one at a time")
    return _parsed(requests[0], x509.load_der_x509_csr, Kind.REQUEST)


def _not_wanted(found: Sequence[Piece], wanted: str) -> str:
    kind = found[0].kind if found else Kind.UNKNOWN
    if kind is Kind.UNKNOWN:
        if wanted == "certificate":
            return f"there is no certificate in it; {INSTEAD[kind]}"
        return f"there is no {wanted} in it; hand over PEM (-----BEGIN CERTIFICATE REQUEST-----) or DER"
    instead = INSTEAD[kind]
    if wanted != "certificate" and kind is not Kind.CERTIFICATE:
        instead = "hand over the signing request; in vCenter: 'New Certificate Signing Request (CSR)'"
    return f"this is {kind.value}, {instead}" if kind is Kind.REQUEST else f"this is {kind.value}: {instead}"


def _text(material: bytes) -> str:
    """The input as text: byte order marks, Windows' two-byte letters and lost line ends do no harm."""
    encoding = next((name for mark, name in _MARKS if material.startswith(mark)), "")
    if not encoding:
        encoding = "utf-16-le" if material[1:2] == b"\x00" else "utf-8"
    text = material.decode(encoding, errors="replace")
    # JSON has lines as two letters; a mail puts a mark before each.
    text = text.replace("\\r", "").replace("\\n", "\n").replace("\u00a0", " ").replace("\r", "")
    return re.sub(r"^[>|\s]+", "", text, flags=re.MULTILINE)


def _decoded(label: str, body: str) -> Piece:
    kind = LABELS.get(label, Kind.UNKNOWN)
    if kind is Kind.PRIVATE_KEY and "ENCRYPTED" in body:
        kind = Kind.ENCRYPTED_KEY
    if kind in SECRET or kind is Kind.UNKNOWN:
        return Piece(kind, b"")
    bare = "".join(_HEADER.sub("", body).split()).strip("\"',")
    der = _bytes_of(bare, kind)
    if label == "TRUSTED CERTIFICATE":
        der = der[: _length(der) or len(der)]  # what OpenSSL puts behind it says whom its owner trusts, not who it is
    if kind is Kind.CERTIFICATE and _is_not(der, x509.load_der_x509_certificate):
        other = _kind_of(der)
        return Piece(Kind.CERTIFICATE if other is Kind.UNKNOWN else other, b"" if other in SECRET else der)
    return Piece(kind, der)


def _bytes_of(bare: str, kind: Kind) -> bytes:
    try:
        der = base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        odd = next((each for each in bare if not re.match(r"[A-Za-z0-9+/=]", each)), "")
        why = f"{odd!r} is in the middle of it" if odd else "letters are missing"
        raise UnusableCertificate(f"{_the(kind)} cannot be read: {why}; {_AGAIN}") from None
    whole = _length(der)
    if whole is not None and len(der) < whole:
        raise UnusableCertificate(
            f"{_the(kind)} cannot be read: it is cut off, {len(der)} of {whole} bytes are there; {_AGAIN}"
        )
    return der


def _piece(der: bytes) -> Piece:
    """What bytes without a label are."""
    whole = _length(der)
    kind = Kind.JAVA_KEYSTORE if der[:4] == b"\xfe\xed\xfe\xed" else _kind_of(der)
    if kind is Kind.UNKNOWN:
        if whole is not None and len(der) < whole:
            why = f"it is cut off, {len(der)} of {whole} bytes are there"
        else:
            why = "the bytes are neither PEM nor DER of a certificate"
        raise UnusableCertificate(f"the certificate cannot be read: {why}; hand over PEM or DER, whole")
    return Piece(kind, b"" if kind in SECRET else der)


def _kind_of(der: bytes) -> Kind:
    """By trying: each parser takes its own kind and no other."""
    for kind, parse in _PARSERS.items():
        if not _is_not(der, parse):
            return kind
    head = der[:64]
    return next((kind for mark, kind in _OIDS if mark in head), Kind.UNKNOWN)


def _private(der: bytes) -> object:
    try:
        # What it is, is all that is asked: to prove a large key sound takes minutes, and it is refused anyway.
        return load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:  # it is one, under a passphrase
        return None


_PARSERS: Final[Mapping[Kind, Callable[[bytes], object]]] = {
    Kind.CERTIFICATE: x509.load_der_x509_certificate,
    Kind.REQUEST: x509.load_der_x509_csr,
    Kind.PUBLIC_KEY: load_der_public_key,
    Kind.PRIVATE_KEY: _private,
    Kind.REVOCATION_LIST: x509.load_der_x509_crl,
}
_OIDS: Final = (
    (bytes.fromhex("06092a864886f70d010702"), Kind.PKCS7),
    (bytes.fromhex("020103") + b"\x30", Kind.PKCS12),
    (bytes.fromhex("06092a864886f70d010701"), Kind.PKCS12),
)
"""Object identifiers near the beginning: PKCS #7 signed data; a version 3 as PKCS #12 has it, and its data."""


def _is_not(der: bytes, parse: Callable[[bytes], object]) -> bool:
    try:
        parse(der)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return True
    return False


def _parsed(der: bytes, parse: Callable[[bytes], Parsed], kind: Kind) -> Parsed:
    try:
        return parse(der)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise UnusableCertificate(f"{_the(kind)} cannot be read ({error}); {_AGAIN}") from None


def _the(kind: Kind) -> str:
    return "the certificate" if kind is Kind.CERTIFICATE else kind.value


def _length(der: bytes) -> int | None:
    """How many bytes the outermost value says that it has, head and all; ``None`` where it says nothing."""
    if len(der) < 2 or der[0] != 0x30:
        return None
    if der[1] < 0x80:
        return der[1] + 2
    octets = der[1] & 0x7F
    if not 1 <= octets <= 4 or len(der) < 2 + octets:
        return None
    return int.from_bytes(der[2 : 2 + octets], "big") + 2 + octets
