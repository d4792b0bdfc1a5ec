"""What the listener offers and refuses in TLS, seen by others: OpenSSL's own command and Python's ssl."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from keyrack.testing.certificates import Algorithm, Identity, client, client_context, server
from keyrack.testing.client import Client
from keyrack.testing.listener import Listener, Pins, listening

FRAME = b"\x42\x00\x78\x01\x00\x00\x00\x08" + b"question"
OPENSSL = shutil.which("openssl")

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl command is not installed")
versions = pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])


@pytest.fixture
def me() -> Identity:
    """A trusted client."""
    return client(name="me")


def s_client(listener: Listener, directory: Path, identity: Identity | None, *flags: str, say: bytes = b"") -> str:
    """What ``openssl s_client`` prints; it ends when its input does, or when the server closes."""
    assert OPENSSL is not None
    host, port = listener.address
    shown: list[str] = []
    if identity:
        certificate, key = identity.write(directory, "s_client")
        shown = ["-cert", str(certificate), "-key", str(key)]
    line = [OPENSSL, "s_client", "-connect", f"{host}:{port}", *shown, *flags]
    done = subprocess.run(line, input=say, capture_output=True, timeout=20, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@needs_openssl
@versions
def test_openssls_own_client_gets_in(tmp_path: Path, me: Identity, flag: str) -> None:
    """A second implementation, not Python's: handshake, certificate, close."""
    with listening(tmp_path, Pins(me)) as listener:
        said = s_client(listener, tmp_path, me, flag)
        assert "Cipher is ECDHE-ECDSA-AES" in said or "Cipher is TLS_AES" in said
        assert listener.eventually(lambda: listener.server.counts["established"] == 1)


@needs_openssl
@versions
def test_certificate_request_names_nobody(tmp_path: Path, me: Identity, flag: str) -> None:
    """No list of authorities: it would tell every caller who our clients are."""
    with listening(tmp_path, Pins(me)) as listener:
        assert "No client certificate CA names sent" in s_client(listener, tmp_path, me, flag)


@needs_openssl
@versions
def test_a_stranger_is_told_unknown_ca(tmp_path: Path, me: Identity, flag: str) -> None:
    """A proper alert, not a dropped connection: the administrator of the client sees why."""
    with listening(tmp_path, Pins(me)) as listener:
        said = s_client(listener, tmp_path, client(name="stranger"), flag, "-ign_eof", say=b"\n")
        assert "alert unknown ca" in said


@needs_openssl
def test_renegotiation_is_refused(tmp_path: Path, me: Identity) -> None:
    """The command "R" asks for it; the connection does not survive the question, or ignores it."""
    with listening(tmp_path, Pins(me)) as listener:
        said = s_client(listener, tmp_path, me, "-tls1_2", say=b"R\n")
        assert "no renegotiation" in said


@needs_openssl
@pytest.mark.parametrize(
    "flags",
    [
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "AES128-SHA256"),
        ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"),
    ],
    ids=lambda flags: flags[-1] if "tls1_2" in flags[0] else flags[0],
)
@pytest.mark.parametrize("algorithm", [Algorithm.EC_P256, Algorithm.RSA_2048])
def test_old_versions_and_suites_are_refused(
    tmp_path: Path, me: Identity, flags: tuple[str, ...], algorithm: Algorithm
) -> None:
    """TLS 1.1, suites without forward secrecy, CBC with SHA-1, finite-field DHE, anonymous: none."""
    with listening(tmp_path, Pins(me), algorithm=algorithm) as listener:
        s_client(listener, tmp_path, me, *flags)
        assert 0 == listener.count("established")


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256", "AES256-SHA384"])
@pytest.mark.parametrize(("algorithm", "kind"), [(Algorithm.RSA_2048, "RSA"), (Algorithm.EC_P256, "ECDSA")])
def test_every_promised_suite_works(tmp_path: Path, me: Identity, suite: str, algorithm: Algorithm, kind: str) -> None:
    """TLS 1.2: ECDHE with AES-128 and AES-256, GCM and CBC with SHA-2, RSA and elliptic certificates alike."""
    with listening(tmp_path, Pins(me), algorithm=algorithm) as listener:
        context = client_context(me, [listener.identity.pem], tls=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(f"ECDHE-{kind}-{suite}")
        with Client(listener.address, context) as talking:
            assert FRAME == talking.exchange(FRAME)


def test_rsa_key_exchange_works_only_where_it_is_switched_on(tmp_path: Path, me: Identity) -> None:
    """``legacy_rsa_kx``: for clients that know nothing better, one listener at a time."""
    with listening(tmp_path, Pins(me), algorithm=Algorithm.RSA_2048, legacy_rsa_kx=True) as listener:
        context = client_context(me, [listener.identity.pem], tls=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("AES128-SHA256")
        with Client(listener.address, context) as talking:
            assert FRAME == talking.exchange(FRAME)


def test_reload_shows_the_new_certificate_to_new_connections_and_keeps_the_open_ones(
    tmp_path: Path, me: Identity
) -> None:
    """Renewal without a restart."""
    with listening(tmp_path, Pins(me)) as listener:
        renewed = server(None)
        trusted = [listener.identity.pem, renewed.pem]
        with Client(listener.address, client_context(me, trusted)) as early:
            renewed.write(tmp_path, "server")
            listener.call(listener.server.reload)
            with Client(listener.address, client_context(me, trusted)) as late:
                assert FRAME == early.exchange(FRAME)
                assert FRAME == late.exchange(FRAME)
                assert (listener.identity.der, renewed.der) == (early.server_certificate, late.server_certificate)


def test_reload_of_a_useless_file_says_so_and_keeps_what_was(tmp_path: Path, me: Identity) -> None:
    """A slip of the hand does not take the service down."""
    with listening(tmp_path, Pins(me)) as listener:
        (tmp_path / "server.pem").write_text("nonsense")

        with pytest.raises(ValueError, match=r"server\.pem is not usable"):
            listener.call(listener.server.reload)

        with Client(listener.address, client_context(me, [listener.identity.pem])) as talking:
            assert FRAME == talking.exchange(FRAME)


def test_a_key_of_another_certificate_is_refused_in_words(tmp_path: Path, me: Identity) -> None:
    """The text names the files and the reason."""
    with listening(tmp_path, Pins(me)) as listener:
        (tmp_path / "server.key").write_bytes(server(None).key_pem)

        with pytest.raises(ValueError, match=r"server\.key is not usable with .*server\.pem: key values mismatch"):
            listener.call(listener.server.reload)
