"""The four ways in that vCenter offers, each by the commands that an administrator types and by real TLS clients.

The clients are Python's ``ssl`` and, where it is installed, ``openssl s_client``; TLS 1.2 and 1.3.
"""

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import ODDITIES, Algorithm, Identity, authority, client, client_context, issue
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Writer
from keyrack.testing.ttlv import text

versions = pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
BOTH = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
PASSWORD = b"correct horse battery"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server with one instance."""
    made = Deployment(
        directory=tmp_path_factory.mktemp("ways"), environment={"KEYRACK_API__ENABLED": "false"}
    ).initialise()
    made.run("instance", "create", "prod")
    made.start()
    yield made
    made.stop()


def address(deployment: Deployment) -> tuple[str, int]:
    """Where it listens."""
    host, _, port = (deployment.directory / "run/kmip.address").read_text().strip().rpartition(":")
    return host, int(port)


def works(deployment: Deployment, certificate: Path, key: Path) -> None:
    """In both versions of TLS the client makes a key, and gets it."""
    for tls in BOTH:
        context = client_context(None, [deployment.authority.pem], tls=tls)
        context.load_cert_chain(certificate, key)
        with Client(address(deployment), context) as asking:
            writer = Writer(asking, "prod", "ways")
            writer.get(writer.create())
        said = s_client(deployment, certificate, key, tls)
        assert said in {None, "42007b"}


def s_client(deployment: Deployment, certificate: Path, key: Path, tls: ssl.TLSVersion) -> str | None:
    """The first bytes of the answer that ``openssl s_client`` gets, in hexadecimal; ``None`` where it is not there."""
    program = shutil.which("openssl")
    if program is None:
        return None
    host, port = address(deployment)
    version = "-tls1_2" if tls is ssl.TLSVersion.TLSv1_2 else "-tls1_3"
    chain = ["-cert_chain", str(certificate)] if certificate.read_bytes().count(b"BEGIN CERT") > 1 else []
    words = [program, "s_client", "-connect", f"{host}:{port}", version, "-cert", str(certificate), "-key", str(key)]
    asked = bytes.fromhex(DISCOVER)
    pipe = subprocess.PIPE
    with subprocess.Popen([*words, *chain, "-quiet"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(asked)
        running.stdin.flush()
        answered = running.stdout.read(3)
        running.kill()
    return answered.hex()


DISCOVER = (
    "42007801000000604200770100000038420069010000002042006a0200000004000000010000000042006b0200000004000000010000000042"
    "000d0200000004000000010000000042000f010000001842005c05000000040000001e000000004200790100000000"
)


def test_vcenters_own_certificate(deployment: Deployment, tmp_path: Path) -> None:
    """Self-signed without Extended Key Usage, as vCenter makes it; pasted through a pipe."""
    own = ODDITIES["as vCenter makes it"]()
    certificate, key = own.write(tmp_path, "vcenter")
    words = [*deployment.command, "cert", "add", "prod", "-", "--json", "--config", str(deployment.configuration)]
    done = subprocess.run(
        words, input=own.pem, env=deployment.served_environment(), capture_output=True, timeout=60, check=True
    )

    told = json.loads(done.stdout)

    assert (told["fingerprint"], told["in_force"]["processes"]) == (own.fingerprint, 1)
    works(deployment, certificate, key)


@pytest.mark.parametrize("depth", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_trusted_root(deployment: Deployment, tmp_path: Path, depth: int) -> None:
    """The root of a vCenter's own authority; a machine certificate of it, or of an intermediate one, gets in."""
    root = vmca(f"vc{depth}.example.com")
    between = [
        issue("issuing", issuer=root, extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)])
    ] * depth
    leaf = machine([root, *between][-1], f"vc{depth}.example.com")
    (tmp_path / "root.pem").write_bytes(root.pem)
    certificate, key = leaf.write(tmp_path, "machine")
    certificate.write_bytes(b"".join(each.pem for each in (leaf, *between)))

    shown = deployment.read("authority", "add", "prod", str(tmp_path / "root.pem"), "--dry-run")
    assert (shown["added"], "every ESXi host and every solution user" in shown["remarks"][0]) == (False, True)
    deployment.run("authority", "add", "prod", str(tmp_path / "root.pem"), "--san", f"vc{depth}.*", "--yes")

    works(deployment, certificate, key)
    host = machine([root, *between][-1], "esx1.example.com")
    certificate, key = host.write(tmp_path, "host")
    certificate.write_bytes(b"".join(each.pem for each in (host, *between)))
    with pytest.raises((ssl.SSLError, ConnectionError, ConnectionEnded)):
        works(deployment, certificate, key)
    deployment.run("authority", "remove", "prod", root.fingerprint, "--yes")


@pytest.mark.parametrize("form", ["pem", "pkcs12"])
def test_a_pair_that_keyrack_issues(deployment: Deployment, tmp_path: Path, form: str) -> None:
    """Handed out once, as PEM or as PKCS #12; not a byte of the key stays in the deployment."""
    out, secret = tmp_path / "pair", tmp_path / "password"
    secret.write_bytes(PASSWORD + b"\n")
    options = ["--format", "pkcs12", "--password-file", str(secret)] if form == "pkcs12" else []

    told = deployment.read("cert", "issue", "prod", "--out", str(out), "--name", f"issued {form}", *options)

    certificate, key = _unpacked(out, tmp_path) if form == "pkcs12" else (out / "client.pem", out / "client.key")
    modes = {each.name: each.stat().st_mode & 0o777 for each in out.iterdir()}
    assert (
        told["fingerprint"]
        == x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()
    )
    assert modes == ({"client.p12": 0o600} if form == "pkcs12" else {"client.pem": 0o644, "client.key": 0o600})
    works(deployment, certificate, key)
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    parts = [number.to_bytes(128, "big") for number in (numbers.p, numbers.q)] + [key.read_bytes()[40:90]]
    kept = [path for path in deployment.directory.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert [] == [path for path in kept for part in parts if part in path.read_bytes()]


def _unpacked(out: Path, directory: Path) -> tuple[Path, Path]:
    """As vCenter's administrator takes a PKCS #12 file apart."""
    private, certificate, issuers = pkcs12.load_key_and_certificates((out / "client.p12").read_bytes(), PASSWORD)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert certificate is not None
    assert len(issuers) == 1
    return Identity(certificate=certificate, key=private).write(directory, "unpacked")


@pytest.mark.slow
def test_nothing_half_done_stays_behind_where_issuing_fails(deployment: Deployment, tmp_path: Path) -> None:
    """A file that is in the way is not overwritten, and no certificate is added without it."""
    (tmp_path / "client.key").write_text("mine")
    before = deployment.read("cert", "list", "prod")

    done = deployment.run("cert", "issue", "prod", "--out", str(tmp_path), check=False)

    assert (done.returncode, "nothing is overwritten" in done.stderr) == (1, True)
    assert deployment.read("cert", "list", "prod") == before
    assert [each.name for each in tmp_path.iterdir()] == ["client.key"]


def test_a_request_that_keyrack_signs(deployment: Deployment, tmp_path: Path) -> None:
    """RSA-2048, its names, and an Extended Key Usage that is not granted; the certificate is for TLS clients alone."""
    private = rsa.generate_private_key(65537, 2048)
    request = vcenter_request(private)
    (tmp_path / "request.csr").write_bytes(request)
    out = tmp_path / "signed.pem"

    shown = deployment.run("cert", "sign", "prod", str(tmp_path / "request.csr"), "--dry-run")
    unasked = deployment.run("cert", "sign", "prod", str(tmp_path / "request.csr"), check=False)
    told = deployment.read("cert", "sign", "prod", str(tmp_path / "request.csr"), "--out", str(out), "--yes")

    assert "CN=vc1.example.com" in shown.stdout
    assert "Extended Key Usage, which is not granted" in shown.stderr
    assert (unasked.returncode, "say --yes to sign it" in unasked.stderr) == (2, True)
    signed = x509.load_pem_x509_certificate(out.read_bytes())
    extensions = signed.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    ca = x509.load_pem_x509_certificate((deployment.directory / "tls/ca.pem").read_bytes())
    signed.verify_directly_issued_by(ca)
    assert told["fingerprint"] == signed.fingerprint(hashes.SHA256()).hex()
    key = tmp_path / "own.key"
    key.write_bytes(Identity(certificate=signed, key=private).key_pem)
    works(deployment, out, key)


def vcenter_request(private: rsa.RSAPrivateKey) -> bytes:
    """A request in the shape of a vCenter's: subject with organization and country, names, usages."""
    parts = [
        (NameOID.COMMON_NAME, "vc1.example.com"),
        (NameOID.ORGANIZATION_NAME, "VMware"),
        (NameOID.COUNTRY_NAME, "US"),
    ]
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(oid, value) for oid, value in parts]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("vc1.example.com")]), critical=False)
        .add_extension(usage, critical=False)
        .add_extension(both, critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def vmca(host: str) -> Identity:
    """A root as a vCenter's own authority makes it."""
    parts = [
        (NameOID.COMMON_NAME, "CA"),
        (NameOID.DOMAIN_COMPONENT, "vsphere"),
        (NameOID.DOMAIN_COMPONENT, "local"),
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.ORGANIZATION_NAME, host),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "VMware Engineering"),
    ]
    return _named(authority("CA", Algorithm.RSA_2048), None, parts, [(x509.BasicConstraints(True, None), True)])


def machine(issuer: Identity, host: str) -> Identity:
    """A machine certificate: RSA, its name in the Subject Alternative Name, no Extended Key Usage."""
    parts = [(NameOID.COMMON_NAME, host), (NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "VMware")]
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    return _named(client(algorithm=Algorithm.RSA_2048), issuer, parts, [(names, False)])


def _named(
    like: Identity,
    issuer: Identity | None,
    parts: list[tuple[x509.ObjectIdentifier, str]],
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> Identity:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    builder = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=issuer.certificate.subject if issuer else name,
        public_key=like.key.public_key(),
        serial_number=like.certificate.serial_number,
        not_valid_before=like.certificate.not_valid_before_utc,
        not_valid_after=like.certificate.not_valid_after_utc,
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Identity(certificate=builder.sign(issuer.key if issuer else like.key, hashes.SHA256()), key=like.key)


def test_a_rotation_has_no_gap(deployment: Deployment, tmp_path: Path) -> None:
    """Step by step, as a script does it: added, not removed before the new one was used, removed."""
    deployment.run("instance", "create", "turning")
    old, new = client(name="old"), client(name="new")
    deployment.add_client("turning", old)
    path = tmp_path / "new.pem"
    path.write_bytes(new.pem)

    assert deployment.read("cert", "rotate", "turning")["step"] == "add"
    time.sleep(1.1)  # "added" is kept in whole seconds
    assert deployment.read("cert", "rotate", "turning", "--new", str(path))["step"] == "wait"
    early = deployment.run("cert", "rotate", "turning", "--remove-old", "--yes", check=False)
    _use(deployment, old)
    _use(deployment, new)
    told = deployment.read("cert", "rotate", "turning", "--wait", "5")
    done = deployment.read("cert", "rotate", "turning", "--remove-old", "--yes")

    assert (early.returncode, "has not been used yet" in early.stderr) == (1, True)
    assert (told["step"], told["new"]["fingerprint"]) == ("remove", new.fingerprint)
    assert told["old"][0]["last_use"] is not None
    assert (done["step"], [each["fingerprint"] for each in done["old"]]) == ("add", [new.fingerprint])
    with pytest.raises((ssl.SSLError, ConnectionError, ConnectionEnded)):
        _use(deployment, old)
    _use(deployment, new)


def _use(deployment: Deployment, identity: Identity) -> None:
    with Client(address(deployment), deployment.context(identity)) as asking:
        Writer(asking, "turning", "use").create()


def test_the_last_certificate_goes_only_with_the_words(deployment: Deployment) -> None:
    """Where keys are in use: a machine that starts would not get them."""
    (left,) = deployment.read("cert", "list", "turning")

    refused = deployment.run("cert", "remove", "turning", left["fingerprint"], "--yes", check=False)

    assert (refused.returncode, "nobody reaches the 3 keys of turning any more" in refused.stderr) == (2, True)
    deployment.run("cert", "remove", "turning", left["fingerprint"], "--yes", "--confirm", "turning")
    assert deployment.read("cert", "list", "turning") == []


# The server's own certificate -------------------------------------------------------------------------------------


def shown_to(deployment: Deployment) -> str:
    """SHA-256 of the certificate that a client is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address(deployment), 5) as plain, context.wrap_socket(plain) as wrapped:
        der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()


def test_the_servers_certificate_is_renewed_while_it_serves(tmp_path: Path) -> None:
    """Renewed, requested and replaced, refused where the pair does not fit; open connections go on."""
    made = Deployment(
        directory=tmp_path / "k", environment={"KEYRACK_API__ENABLED": "false", "KEYRACK_KMIP__WORKERS": "2"}
    )
    made.initialise()
    identity = client()
    made.add_client("prod", identity, create=True)
    made.start()
    try:
        with Client(address(made), made.context(identity)) as asking:
            key = Writer(asking, "prod", "server").create()
            before = made.read("server-certificate", "show")

            new = made.read("server-certificate", "renew", "--yes")

            assert before["fingerprint"] != new["fingerprint"] == shown_to(made)
            assert (new["names"], new["in_force"]["processes"], new["in_force"]["of"]) == (before["names"], 2, 2)
            assert new["in_force"]["seconds"] < 1.0
            assert "Make vCenter Trust KMS" in new["warning"]
            assert asking.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key.uid)).ok
        assert (made.directory / "tls/server.pem.before").read_bytes() == made_before(made, before)

        _refuses_what_does_not_fit(made, tmp_path, new["fingerprint"])

        request = tmp_path / "server.csr"
        made.run("server-certificate", "request", "--out", str(request), "--name", "kms.example.com")
        signed = _sign(made.authority, request.read_bytes())
        (tmp_path / "signed.pem").write_bytes(signed)
        told = made.read("server-certificate", "replace", "--certificate", str(tmp_path / "signed.pem"), "--yes")
        assert told["names"] == ["kms.example.com"]
        assert told["fingerprint"] == shown_to(made)
        assert not (made.directory / "tls/server.key.request").exists()
    finally:
        code = made.stop()
    assert code == 0


def made_before(made: Deployment, before: dict[str, str]) -> bytes:
    """The file of the pair that was replaced, by its fingerprint."""
    kept = (made.directory / "tls/server.pem.before").read_bytes()
    assert x509.load_pem_x509_certificate(kept).fingerprint(hashes.SHA256()).hex() == before["fingerprint"]
    return kept


def _refuses_what_does_not_fit(made: Deployment, tmp_path: Path, shown: str) -> None:
    other, third = client(made.authority), authority("ca")
    pem, key = other.write(tmp_path, "other")
    (tmp_path / "third.pem").write_bytes(third.pem)
    third_key = third.write(tmp_path, "third")[1]
    for certificate, private, why in (
        (tmp_path / "third.pem", key, "do not belong together"),
        (tmp_path / "third.pem", third_key, "is a certificate authority"),
        (pem, key, "not for servers"),
        (pem, pem, "in the place of the key there is a certificate"),
        (key, key, "the input holds a private key"),
    ):
        words = ("--certificate", str(certificate), "--key", str(private), "--yes")
        done = made.run("server-certificate", "replace", *words, check=False)
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert shown_to(made) == shown


def _sign(issuer: Identity, request: bytes) -> bytes:
    asked = x509.load_pem_x509_csr(request)
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    builder = x509.CertificateBuilder(
        subject_name=asked.subject,
        issuer_name=issuer.certificate.subject,
        public_key=asked.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=issuer.certificate.not_valid_before_utc,
        not_valid_after=issuer.certificate.not_valid_after_utc,
    ).add_extension(names, critical=False)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
