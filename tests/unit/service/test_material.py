"""What people paste in the place of a certificate: healed where that is harmless, called by its name elsewhere."""

import base64
import datetime as dt
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from keyrack.domain.instances import Instance, InstanceStatus, Storage
from keyrack.service.office.authorities import Terms, read_authority
from keyrack.service.office.certificates import read
from keyrack.service.office.material import UnusableCertificate
from keyrack.service.office.requests import read_request
from keyrack.testing.certificates import authority, client, issue

NOW = int(dt.datetime.now(dt.UTC).timestamp())
MINE = client(name="mine")
PEM = MINE.pem.decode()
DER = MINE.der
BODY = "".join(PEM.splitlines()[1:-1])

HEALED = {
    "CRLF": PEM.replace("\n", "\r\n").encode(),
    "CR alone is lost": PEM.replace("\n", "\r\r\n").encode(),
    "UTF-8 with mark": b"\xef\xbb\xbf" + PEM.encode(),
    "UTF-16 with mark": PEM.encode("utf-16"),
    "UTF-16 without mark": PEM.encode("utf-16-le"),
    "indented, as in YAML": "".join(f"    {line}\n" for line in PEM.splitlines()).encode(),
    "quoted, as in a mail": "".join(f"> {line}\n" for line in PEM.splitlines()).encode(),
    "on one line": PEM.replace("\n", " ").encode(),
    "as in JSON": PEM.replace("\n", "\\n").encode(),
    "as in JSON of Windows": f'"{PEM}"'.replace("\n", "\\r\\n").encode(),
    "with blank lines": PEM.replace("\n", "\n\n").encode(),
    "with prose around it": f"subject=CN = mine\nissuer=x\n{PEM}bye\n".encode(),
    "with no-break spaces": PEM.replace("\n", "\n\u00a0").encode(),
    "without its lines around": BODY.encode(),
    "trusted, as OpenSSL keeps it": b"-----BEGIN TRUSTED CERTIFICATE-----\n"
    + base64.encodebytes(DER + bytes.fromhex("300c300a06082b06010505070302"))
    + b"-----END TRUSTED CERTIFICATE-----\n",
    "old label": PEM.replace("CERTIFICATE", "X509 CERTIFICATE").encode(),
    "DER": DER,
}


@pytest.mark.parametrize("damage", HEALED)
def test_harmless_damage_is_healed(damage: str) -> None:
    """The same certificate, whatever it has been through."""
    assert read(HEALED[damage], instance="i", at=NOW).certificate.fingerprint == MINE.fingerprint


def _key(encryption: serialization.KeySerializationEncryption, form: serialization.PrivateFormat) -> bytes:
    return MINE.key.private_bytes(serialization.Encoding.PEM, form, encryption)


PKCS8, PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")
PUBLIC = MINE.key.public_key()
SUBJECT_INFO = serialization.PublicFormat.SubjectPublicKeyInfo
REQUEST = x509.CertificateSigningRequestBuilder(MINE.certificate.subject).sign(MINE.key, hashes.SHA256())
ROOT = authority("root")

NAMED = {
    "private key": (_key(PLAIN, PKCS8), "the input holds a private key: Keyrack never needs"),
    "private key of OpenSSL": (_key(PLAIN, serialization.PrivateFormat.TraditionalOpenSSL), "holds a private key"),
    "private key in DER": (
        MINE.key.private_bytes(serialization.Encoding.DER, PKCS8, PLAIN),
        "the input holds a private key",
    ),
    "encrypted key": (_key(LOCKED, PKCS8), "the input holds a private key under a passphrase"),
    "encrypted key of OpenSSL": (
        _key(LOCKED, serialization.PrivateFormat.TraditionalOpenSSL),
        "the input holds a private key under a passphrase",
    ),
    "half a private key": (_key(PLAIN, PKCS8)[:100], "the input holds a private key"),
    "request": (REQUEST.public_bytes(serialization.Encoding.PEM), "this is a certificate signing request, not a"),
    "request in DER": (REQUEST.public_bytes(serialization.Encoding.DER), "this is a certificate signing request"),
    "public key": (PUBLIC.public_bytes(serialization.Encoding.PEM, SUBJECT_INFO), "this is a public key: it says"),
    "public key in DER": (PUBLIC.public_bytes(serialization.Encoding.DER, SUBJECT_INFO), "this is a public key"),
    "SSH key": (
        PUBLIC.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "this is an SSH key: TLS knows certificates alone",
    ),
    "PKCS #7": (
        pkcs7.serialize_certificates([MINE.certificate], serialization.Encoding.PEM),
        "this is a PKCS #7 bundle: take the client's own certificate out of it: openssl pkcs7",
    ),
    "PKCS #7 in DER": (
        pkcs7.serialize_certificates([MINE.certificate], serialization.Encoding.DER),
        "this is a PKCS #7 bundle",
    ),
    "PKCS #12": (
        pkcs12.serialize_key_and_certificates(b"x", MINE.key, MINE.certificate, None, LOCKED),
        "the input holds a PKCS #12 file: it may hold a private key",
    ),
    "Java keystore": (b"\xfe\xed\xfe\xed" + bytes(60), "the input holds a Java keystore: export the certificate"),
    "fingerprint": (MINE.fingerprint.encode(), "this is a fingerprint: hand over the certificate itself"),
    "fingerprint from 0 on": (b"0f" * 32, "this is a fingerprint: hand over the certificate itself"),
    "fingerprint of openssl": (b"SHA256 Fingerprint=" + b"AA:" * 31 + b"AA\n", "this is a fingerprint"),
    "chain upside down": (ROOT.pem + client(ROOT).pem, "begins with an authority's \\(CN=root\\)"),
    "cut off": (PEM[:300].encode(), "its END line is missing"),
    "cut off inside": (
        f"-----BEGIN CERTIFICATE-----\n{BODY[:200]}\n-----END CERTIFICATE-----".encode(),
        f"it is cut off, 150 of {len(DER)} bytes are there",
    ),
    "a letter that is none": (PEM.replace("M", "*", 1).encode(), "'\\*' is in the middle of it"),
    "letters missing": (f"-----BEGIN CERTIFICATE-----\n{BODY[:201]}\n-----END CERTIFICATE-----".encode(), "missing"),
    "DER cut off": (DER[:100], f"it is cut off, 100 of {len(DER)} bytes are there"),
    "DER garbage": (b"\x30\x05hello", "neither PEM nor DER"),
    "something behind it": (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(DER + b"more") + b"-----END CERTIFICATE-----\n",
        "cannot be read",
    ),
    "nothing": (b"", "there is no certificate in it"),
    "spaces": (b" \n\t\n", "there is no certificate in it"),
    "prose": (b"Sehr geehrte Damen und Herren", "there is no certificate in it"),
}


@pytest.mark.parametrize("what", NAMED)
def test_everything_else_is_called_by_its_name(what: str) -> None:
    """With what to do instead."""
    material, told = NAMED[what]

    with pytest.raises(UnusableCertificate, match=told) as caught:
        read(material, instance="i", at=NOW)

    assert ";" in str(caught.value) or ":" in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


def _request(*extensions: x509.ExtensionType, key: "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey") -> bytes:
    builder = x509.CertificateSigningRequestBuilder(MINE.certificate.subject)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_request_tells_what_is_not_granted() -> None:
    """Names are granted, usages are not, and what nobody knows is told by its number."""
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    names = x509.SubjectAlternativeName([x509.DNSName("vc1.example.com")])
    plain = x509.BasicConstraints(ca=False, path_length=None)

    offered = read_request(_request(names, usage, odd, plain, key=ec.generate_private_key(ec.SECP256R1())))

    assert (offered.told, offered.key) == ("CN=mine", "EC secp256r1")
    assert offered.alternative == names
    assert [each.split(",")[0] for each in offered.remarks] == ["it asks for Extended Key Usage", "it asks for 1.2.3.4"]


BAD_REQUESTS = {
    "an authority": (
        _request(x509.BasicConstraints(ca=True, path_length=None), key=ec.generate_private_key(ec.SECP256R1())),
        "wants to be a certificate authority",
    ),
    "a short key": (_request(key=rsa.generate_private_key(65537, 1024)), "its RSA key has 1024 bits"),
    "a certificate": (MINE.pem, "this is a certificate: not a signing request"),
    "a private key": (_key(PLAIN, PKCS8), "this is a private key: hand over the signing request"),
    "nothing": (b"", "there is no signing request in it"),
    "two": (REQUEST.public_bytes(serialization.Encoding.PEM) * 2, "2 signing requests"),
}


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_request_of_no_use_is_refused(what: str) -> None:
    """By its name."""
    material, told = BAD_REQUESTS[what]
    with pytest.raises(UnusableCertificate, match=told):
        read_request(material)


def test_a_request_that_was_changed_is_refused() -> None:
    """Its signature does not hold any more."""
    der = REQUEST.public_bytes(serialization.Encoding.DER).replace(b"mine", b"yours"[:4])
    with pytest.raises(UnusableCertificate, match="not signed by its own key"):
        read_request(der)


ONE = Instance(
    identifier="1",
    name="one",
    status=InstanceStatus.INSTALLED,
    key_manager="k",
    root_key="r",
    storage=Storage.CATALOG,
    created_at=0,
)
_SIGNS_NOTHING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
_CA = (x509.BasicConstraints(ca=True, path_length=None), True)
BAD_ANCHORS = {
    "a leaf": (client(ROOT).pem, "is no certificate authority: it is a client's or a server's certificate"),
    "no sign": (issue("x", extensions=[_CA, (_SIGNS_NOTHING, True)]).pem, "may not sign certificates"),
    "expired": (issue("x", days=(-9, -1), extensions=[_CA]).pem, "it expired on"),
    "early": (issue("x", days=(2, 9), extensions=[_CA]).pem, "it is not valid before"),
    "several": (ROOT.pem + authority("y").pem, "2 certificates; hand over the one authority"),
    "a key": (_key(PLAIN, PKCS8), "holds a private key"),
}


@pytest.mark.parametrize("what", BAD_ANCHORS)
def test_what_cannot_be_an_anchor_is_refused(what: str) -> None:
    """Before it counts."""
    material, told = BAD_ANCHORS[what]
    with pytest.raises(UnusableCertificate, match=told):
        read_authority(material, ONE, Terms(), at=NOW)


def test_a_short_key_is_no_anchor() -> None:
    """An RSA key of 1,024 bits signs for whoever has a week."""
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak", "-keyout", "/dev/null"],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("openssl makes no such key here")
    with pytest.raises(UnusableCertificate, match="its RSA key has 1024 bits"):
        read_authority(done.stdout, ONE, Terms(), at=NOW)


def test_an_authority_tells_whom_it_lets_in() -> None:
    """Everybody without a pattern; and a pattern that everybody can fit."""
    bare = read_authority(ROOT.pem, ONE, Terms(), at=NOW)
    narrow = read_authority(ROOT.pem, ONE, Terms(subject_pattern="*O=x", san_pattern="*.x"), at=NOW)

    assert "without a pattern everyone" in bare.remarks[0]
    assert "like *O=x and with an alternative name like *.x" in narrow.admits
    assert "begins with '*'" in narrow.remarks[0]
