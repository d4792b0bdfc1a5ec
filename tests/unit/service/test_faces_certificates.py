"""A client certificate as an administrator hands it over: what counts, what is odd, what is refused and why."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from keyrack.service.office.certificates import UnusableCertificate, days_left, read

NOW = int(dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp())
DAY = 86_400

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def certificate(
    key: SigningKey | None = None, *, begins: int = -1, ends: int = 365, common: str = "kmipClient20261122"
) -> x509.Certificate:
    """A self-signed certificate without extensions, as vCenter makes; ``begins`` and ``ends`` in days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(moment + dt.timedelta(days=begins))
        .not_valid_after(moment + dt.timedelta(days=ends))
    )
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def pem(given: x509.Certificate) -> bytes:
    """In PEM."""
    return given.public_bytes(serialization.Encoding.PEM)


def der(given: x509.Certificate) -> bytes:
    """In DER."""
    return given.public_bytes(serialization.Encoding.DER)


def test_pem_and_der_are_the_same_certificate() -> None:
    """Whatever stands around the PEM, and whatever ends its lines."""
    given = certificate()
    forms = [pem(given), der(given), b"Subject: CN=x\r\n" + pem(given).replace(b"\n", b"\r\n")]

    read_forms = [read(form, instance="i", at=NOW).certificate for form in forms]

    assert {each.fingerprint for each in read_forms} == {given.fingerprint(hashes.SHA256()).hex()}
    assert {each.der for each in read_forms} == {der(given)}


def test_what_a_person_should_see_is_told() -> None:
    """Subject, kind of key, dates; nothing odd, no remark."""
    offered = read(pem(certificate()), instance="i", at=NOW)

    assert (offered.certificate.subject, offered.key, offered.remarks) == ("CN=kmipClient20261122", "EC secp256r1", ())
    assert days_left(offered.certificate, NOW) == 365


@pytest.mark.parametrize(
    ("begins", "ends", "remark"),
    [
        (-400, -2, "it expired on 2026-11-20; it counts all the same, but should be replaced"),
        (2, 300, "it is not valid before 2026-11-24; it counts all the same"),
        (-1, 30, "it expires in 30 days"),
    ],
    ids=["expired", "not yet valid", "soon"],
)
def test_odd_dates_are_told_and_count_all_the_same(begins: int, ends: int, remark: str) -> None:
    """A lapsed certificate must not keep hosts from starting."""
    offered = read(pem(certificate(begins=begins, ends=ends)), instance="i", at=NOW)

    assert offered.remarks == (remark,)


def test_the_first_of_several_counts() -> None:
    """As in TLS: the leaf stands before its issuers."""
    first, second = certificate(), certificate()

    offered = read(pem(first) + pem(second), instance="i", at=NOW)

    assert offered.certificate.fingerprint == first.fingerprint(hashes.SHA256()).hex()
    assert offered.remarks == ("the input holds 2 certificates; the first one counts, its issuers are not needed",)


def _with_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()) + pem(certificate(key))


def _request() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("material", "why"),
    [
        (b"", "there is no certificate in it"),
        (b"hello", "there is no certificate in it"),
        (pem(certificate())[:300] + b"\n-----END CERTIFICATE-----\n", "the certificate cannot be read"),
        (pem(certificate())[:300], "the certificate cannot be read"),
        (b"\x30\x82\x01\x00", "the certificate cannot be read"),
        (_with_key(), "the input holds a private key"),
        (_request(), "this is a certificate signing request"),
        (pem(certificate(rsa.generate_private_key(65537, 1024))), "its RSA key has 1024 bits, and the least is 2048"),
        (pem(certificate(ec.generate_private_key(ec.SECP192R1()))), "its curve secp192r1 is too small"),
        (pem(certificate(ed25519.Ed25519PrivateKey.generate())), "its key is neither RSA nor EC"),
    ],
    ids=[
        "nothing",
        "prose",
        "damaged",
        "cut off",
        "short DER",
        "private key",
        "request",
        "RSA-1024",
        "P-192",
        "Ed25519",
    ],
)
def test_what_cannot_be_trusted_is_refused_with_the_reason(material: bytes, why: str) -> None:
    """And with what to hand over instead, after a semicolon or a colon."""
    with pytest.raises(UnusableCertificate, match=why) as caught:
        read(material, instance="i", at=NOW)

    assert ";" in str(caught.value)


def test_a_subject_sends_nothing_to_a_terminal() -> None:
    """Whoever manages a KMIP adapter brings certificates, and an administrator looks at them."""
    given = certificate(common="a\x1b]0;title\x07b\nc\u202ed\x9b2J")

    subject = read(pem(given), instance="i", at=NOW).certificate.subject

    assert subject.isprintable()
    assert subject.startswith("CN=a\ufffd]0")


@pytest.mark.parametrize(
    ("honest", "odd"),
    [
        (bytes.fromhex("a003020102"), bytes.fromhex("a003020117")),  # version 24
        (bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0264")),  # another kind of key
        (bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177")),  # another curve
    ],
)
def test_what_nobody_knows_is_refused_and_no_fault(honest: bytes, odd: bytes) -> None:
    given = der(certificate())
    assert honest in given

    with pytest.raises(UnusableCertificate, match="cannot be read"):
        read(given.replace(honest, odd, 1), instance="i", at=NOW)
