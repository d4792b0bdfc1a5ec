"""Whose certificate opens the door: every odd one that is pinned, and no other, in TLS 1.2 and 1.3.

Where a protection keeps an attack out, a second test takes the protection away and shows that the attack then works.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ObjectIdentifier
from OpenSSL import SSL, crypto

from keyrack.shell.kmip.server import KmipServer
from keyrack.shell.kmip.tls import Outdated, make_context
from keyrack.testing.certificates import (
    ODDITIES,
    Identity,
    authority,
    client,
    client_context,
    issue,
)
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.listener import EchoDesk, Listener, Pins, listening

FRAME = b"\x42\x00\x78\x01\x00\x00\x00\x08" + b"question"

versions = pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def connected(listener: Listener, context: ssl.SSLContext) -> Client:
    """A client, after its handshake."""
    return Client(listener.address, context)


def asks(listener: Listener, identity: Identity | None, tls: ssl.TLSVersion, chain: tuple[Identity, ...] = ()) -> bytes:
    """What a client with this certificate gets for its question; raises what it gets instead of an answer."""
    context = client_context(identity, [listener.identity.pem], tls=tls)
    if identity and chain:
        load(context, identity, *chain)
    with connected(listener, context) as talking:
        return talking.exchange(FRAME)


def load(context: ssl.SSLContext, identity: Identity, *chain: Identity) -> None:
    """Present a certificate together with others."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        certificate, key = identity.write(Path(directory), "client")
        certificate.write_bytes(b"".join(each.pem for each in (identity, *chain)))
        context.load_cert_chain(certificate, key)


def is_refused(act: Callable[[], bytes]) -> bool:
    """Whether the door stays shut; an answer means that it does not."""
    try:
        return act() != FRAME
    except (ssl.SSLError, ConnectionError, ConnectionEnded):
        return True


@pytest.fixture
def me() -> Identity:
    """A trusted client."""
    return client(name="me")


# Accepted ---------------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("oddity", ODDITIES)
def test_door_opens_to_a_pinned_certificate_however_odd(tmp_path: Path, oddity: str, tls: ssl.TLSVersion) -> None:
    """Wrong purposes, no extensions, a CA, expired, unknown critical extensions: the fingerprint decides."""
    odd = ODDITIES[oddity]()
    with listening(tmp_path, Pins(odd)) as listener:
        assert FRAME == asks(listener, odd, tls)


def garbled(oid: str, value: bytes = b"\xff\xff") -> Identity:
    """A self-signed certificate with an extension that cannot be decoded."""
    return issue("garbled", extensions=[(x509.UnrecognizedExtension(ObjectIdentifier(oid), value), False)])


@versions
@pytest.mark.parametrize("oid", ["2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.35", "2.5.29.30", "2.5.29.17"])
def test_door_opens_to_a_pin_with_an_extension_that_cannot_be_decoded(
    tmp_path: Path, oid: str, tls: ssl.TLSVersion
) -> None:
    """Key Usage, Extended Key Usage, Basic Constraints, Authority Key Identifier, Name Constraints, SAN."""
    odd = garbled(oid)
    with listening(tmp_path, Pins(odd)) as listener:
        assert FRAME == asks_with_the_same_engine(listener, odd, tls)


def asks_with_the_same_engine(listener: Listener, odd: Identity, tls: ssl.TLSVersion) -> bytes:
    """Like :func:`asks`, for certificates that the ``ssl`` module does not even load."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    version = SSL.TLS1_2_VERSION if tls is ssl.TLSVersion.TLSv1_2 else SSL.TLS1_3_VERSION
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(odd.certificate)
    context.use_privatekey(odd.key)
    with socket.create_connection(listener.address, 5) as plain:
        plain.settimeout(None)
        engine = SSL.Connection(context, plain)
        engine.set_connect_state()
        try:
            engine.do_handshake()
            engine.sendall(FRAME)
            return engine.recv(len(FRAME))
        except SSL.Error as error:
            raise ConnectionEnded(str(error)) from error


@versions
@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=["P-384", "P-521"])
def test_door_opens_to_larger_elliptic_keys(tmp_path: Path, curve: ec.EllipticCurve, tls: ssl.TLSVersion) -> None:
    """A list of groups that left out a curve would refuse the certificates on it, in TLS 1.2."""
    odd = self_signed(ec.generate_private_key(curve))
    with listening(tmp_path, Pins(odd)) as listener:
        assert FRAME == asks(listener, odd, tls)


@versions
def test_door_opens_to_a_pinned_leaf_that_comes_with_its_chain(tmp_path: Path, tls: ssl.TLSVersion) -> None:
    """Issuers that the client sends along do not matter, for good or ill."""
    root = authority()
    middle = issue("middle", issuer=root, extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)])
    leaf = client(middle)
    with listening(tmp_path, Pins(leaf)) as listener:
        assert FRAME == asks(listener, leaf, tls, chain=(middle, root))


@versions
def test_door_opens_to_a_pinned_leaf_whose_issuer_is_a_stranger_of_the_same_name(
    tmp_path: Path, tls: ssl.TLSVersion
) -> None:
    """A bad signature under the pin does not matter either: the fingerprint covers every byte of the certificate."""
    leaf = client(authority("root"))
    with listening(tmp_path, Pins(leaf)) as listener:
        assert FRAME == asks(listener, leaf, tls, chain=(authority("root"),))


# Refused ----------------------------------------------------------------------------------------------------------


def unknown(me: Identity) -> Identity:
    """Nobody has pinned it."""
    return client(name="stranger")


def same_name(me: Identity) -> Identity:
    """The subject of a trusted client, another key."""
    return client(name="me")


def same_key(me: Identity) -> Identity:
    """A trusted client's key in another certificate: the pin is the certificate."""
    return self_signed(me.key, "me again")


def minted(me: Identity) -> Identity:
    """Signed by the key of a trusted client."""
    return client(me, name="minted")


@versions
@pytest.mark.parametrize("attack", [unknown, same_name, same_key, minted])
def test_door_stays_shut_to_a_certificate_that_is_not_pinned(
    tmp_path: Path, me: Identity, attack: Callable[[Identity], Identity], tls: ssl.TLSVersion
) -> None:
    """Another name, the same name, the same key, a signature of the trusted one: none is the certificate itself."""
    with listening(tmp_path, Pins(me)) as listener:
        assert is_refused(lambda: asks(listener, attack(me), tls))
        assert FRAME == asks(listener, me, tls)


@versions
def test_door_stays_shut_without_a_certificate(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """A client certificate is required, not merely asked for."""
    with listening(tmp_path, Pins(me)) as listener:
        assert is_refused(lambda: asks(listener, None, tls))
        assert 1 == listener.count("refused")


@versions
@pytest.mark.parametrize("with_chain", [False, True])
def test_door_stays_shut_to_what_a_pinned_authority_has_signed(
    tmp_path: Path, tls: ssl.TLSVersion, with_chain: bool
) -> None:
    """A client whose own certificate says CA:TRUE is pinned; what it mints is a stranger, with its issuer or not."""
    pinned = authority("a client that is a CA")
    minted_by_it = client(pinned)
    with listening(tmp_path, Pins(pinned)) as listener:
        assert is_refused(lambda: asks(listener, minted_by_it, tls, chain=(pinned,) if with_chain else ()))


@versions
def test_control_a_store_would_let_in_what_a_pinned_authority_has_signed(tmp_path: Path, tls: ssl.TLSVersion) -> None:
    """The protection taken out: with the pin in a certificate store and OpenSSL's own judgement, the attack works."""
    pinned = authority("a client that is a CA")
    minted_by_it = client(pinned)

    def trust_a_store(server: KmipServer) -> None:
        context = make_context(server._plane._settings, lambda tls, certificate, error, depth, ok: bool(ok))
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(pinned.certificate))
        server._plane._context = context
        without_second_look(server)

    with listening(tmp_path, Pins(pinned), sabotage=[trust_a_store]) as listener:
        assert FRAME == asks(listener, minted_by_it, tls)


def believe_everyone(server: KmipServer) -> None:
    """Take out the first look: the verify callback says yes to all."""
    server._plane._context = make_context(server._plane._settings, lambda *_: True)


def without_second_look(server: KmipServer) -> None:
    """Take out the second look, after the handshake."""
    plane = server._plane

    def identify(tls: SSL.Connection) -> object:
        from keyrack.shell.kmip.tls import _der, fingerprint_of
        from keyrack.shell.kmip.verdicts import Verdict

        certificate = tls.get_peer_certificate()
        assert certificate is not None
        return Verdict(fingerprint=fingerprint_of(_der(certificate)), known=True)

    plane.identify = identify  # type: ignore[method-assign, assignment]


@versions
def test_door_looks_a_second_time_after_the_handshake(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """Even a verify callback that says yes to everyone does not let a stranger ask anything."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk, sabotage=[believe_everyone]) as listener:
        assert is_refused(lambda: asks(listener, unknown(me), tls))
    assert [] == desk.peers


@versions
def test_control_a_stranger_gets_in_when_neither_look_is_taken(
    tmp_path: Path, me: Identity, tls: ssl.TLSVersion
) -> None:
    """Both protections taken out: the attack works, so the tests above can fail."""
    with listening(tmp_path, Pins(me), sabotage=[believe_everyone, without_second_look]) as listener:
        assert FRAME == asks(listener, unknown(me), tls)


class Broken:
    """A trust that cannot be asked."""

    def known(self, fingerprint: str) -> bool:
        """Fail as a database does."""
        raise OSError("disk on fire")


@versions
def test_door_stays_shut_when_trust_cannot_be_asked(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """An exception is a refusal, for everybody, and the next handshake does not inherit it."""
    with listening(tmp_path, Broken()) as listener:
        assert is_refused(lambda: asks(listener, me, tls))
        assert is_refused(lambda: asks(listener, me, tls))
        assert 2 == listener.count("refused")


class Truthy:
    """A trust that answers something that is not a bool."""

    def known(self, fingerprint: str) -> bool:
        """Not a yes."""
        return "no"  # type: ignore[return-value]


def test_door_takes_nothing_but_true_for_a_yes(tmp_path: Path, me: Identity) -> None:
    """A text, a row, a coroutine that nobody awaited: all are truthy, none is an answer."""
    with listening(tmp_path, Truthy()) as listener:
        assert is_refused(lambda: asks(listener, me, ssl.TLSVersion.TLSv1_3))


@versions
def test_an_exception_in_the_engines_own_callback_refuses(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """The wrapper around the callback (pyOpenSSL, CVE-2026-27448 for another callback) fails closed as well."""

    def raise_in_callback(server: KmipServer) -> None:
        def broken(*_: object) -> bool:
            raise RuntimeError("broken")

        server._plane._context = make_context(server._plane._settings, broken)
        without_second_look(server)

    with listening(tmp_path, Pins(me), sabotage=[raise_in_callback]) as listener:
        assert is_refused(lambda: asks(listener, me, tls))


# Dates and weak keys ------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("oddity", ["expired", "not yet valid"])
def test_door_stays_shut_to_an_outdated_pin_where_the_policy_says_so(
    tmp_path: Path, oddity: str, tls: ssl.TLSVersion
) -> None:
    """The same certificate that is accepted with a warning otherwise."""
    odd = ODDITIES[oddity]()
    with (
        listening(tmp_path, Pins(odd), outdated=Outdated.REFUSE) as listener,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate expired|bad certificate"),
    ):
        asks(listener, odd, tls)


def self_signed(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey", name: str = "own") -> Identity:
    """A certificate over a given key."""
    like = issue(name)
    builder = x509.CertificateBuilder(
        subject_name=like.certificate.subject,
        issuer_name=like.certificate.issuer,
        public_key=key.public_key(),
        serial_number=like.certificate.serial_number,
        not_valid_before=like.certificate.not_valid_before_utc,
        not_valid_after=like.certificate.not_valid_after_utc,
    )
    return Identity(certificate=builder.sign(key, hashes.SHA256()), key=key)


def asks_unchecked(listener: Listener, odd: Identity, tls: ssl.TLSVersion) -> bytes:
    """Like :func:`asks`, for certificates that the client's own OpenSSL would not use, unless told to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = tls
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    load(context, odd)
    with connected(listener, context) as talking:
        return talking.exchange(FRAME)


@versions
def test_door_stays_shut_to_a_pin_with_a_short_rsa_key(tmp_path: Path, tls: ssl.TLSVersion) -> None:
    """With 1,024 bits, possession of the private key proves little: the pin does not help."""
    weak = self_signed(rsa.generate_private_key(65537, 1024))
    with listening(tmp_path, Pins(weak)) as listener:
        assert is_refused(lambda: asks_unchecked(listener, weak, tls))


@versions
def test_control_a_short_rsa_key_gets_in_where_every_error_is_forgiven(tmp_path: Path, tls: ssl.TLSVersion) -> None:
    """The protection taken out: a callback that forgives all of OpenSSL's errors accepts it."""
    weak = self_signed(rsa.generate_private_key(65537, 1024))
    with listening(tmp_path, Pins(weak), sabotage=[believe_everyone, without_second_look]) as listener:
        assert FRAME == asks_unchecked(listener, weak, tls)


# Resumption and removal ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def talking(
    listener: Listener, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    """A TLS connection that offers an earlier session."""
    plain = socket.create_connection(listener.address, 5)
    with plain, context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as wrapped:
        yield wrapped


def session_of(listener: Listener, context: ssl.SSLContext) -> ssl.SSLSession:
    """The session of a connection that was used and closed properly, with what the server sent for a later one."""
    with talking(listener, context) as wrapped:
        wrapped.sendall(FRAME)
        wrapped.recv(len(FRAME))
        session = wrapped.session
        wrapped.unwrap()
    assert session is not None
    return session


@versions
def test_no_session_is_ever_resumed(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """Neither by session id nor by ticket: each connection shows and proves its certificate anew."""
    with listening(tmp_path, Pins(me)) as listener:
        context = client_context(me, [listener.identity.pem], tls=tls)
        earlier = session_of(listener, context)
        with talking(listener, context, earlier) as wrapped:
            wrapped.sendall(FRAME)

            assert FRAME == wrapped.recv(len(FRAME))
            assert not wrapped.session_reused


@versions
def test_a_removed_certificate_does_not_come_back_on_its_old_session(
    tmp_path: Path, me: Identity, tls: ssl.TLSVersion
) -> None:
    """The trap of certificate stores: a resumed handshake skips verification."""
    pins = Pins(me)
    with listening(tmp_path, pins) as listener:
        context = client_context(me, [listener.identity.pem], tls=tls)
        earlier = session_of(listener, context)
        pins.fingerprints.clear()

        def resumed() -> bytes:
            with talking(listener, context, earlier) as wrapped:
                wrapped.sendall(FRAME)
                return wrapped.recv(len(FRAME))

        assert is_refused(resumed)


def with_sessions(server: KmipServer) -> None:
    """Take out the protection: keep sessions, as OpenSSL does by itself. That there are no tickets helps nothing."""
    context = make_context(server._plane._settings, server._plane._verify)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(b"control")
    server._plane._context = context


@versions
def test_control_a_removed_certificate_comes_back_where_sessions_are_kept(
    tmp_path: Path, me: Identity, tls: ssl.TLSVersion
) -> None:
    """Cache on, second look off: the session is resumed without a question, and the attack works."""
    pins = Pins(me)
    with listening(tmp_path, pins, sabotage=[with_sessions, without_second_look]) as listener:
        context = client_context(me, [listener.identity.pem], tls=tls)
        earlier = session_of(listener, context)
        pins.fingerprints.clear()
        with talking(listener, context, earlier) as wrapped:
            wrapped.sendall(FRAME)

            assert FRAME == wrapped.recv(len(FRAME))
            assert wrapped.session_reused


@versions
def test_the_second_look_alone_stops_a_resumed_session(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """Should a session ever be resumed, the callback is not asked, and that alone is a reason to refuse."""
    pins = Pins(me)
    with listening(tmp_path, pins, sabotage=[with_sessions]) as listener:
        context = client_context(me, [listener.identity.pem], tls=tls)
        earlier = session_of(listener, context)

        def resumed() -> bytes:
            with talking(listener, context, earlier) as wrapped:
                wrapped.sendall(FRAME)
                return wrapped.recv(len(FRAME))

        assert is_refused(resumed)


@versions
def test_a_certificate_counts_as_soon_as_it_is_added(tmp_path: Path, me: Identity, tls: ssl.TLSVersion) -> None:
    """Refused, added, accepted: no new context, no restart."""
    pins = Pins()
    with listening(tmp_path, pins) as listener:
        assert is_refused(lambda: asks(listener, me, tls))
        pins.fingerprints.add(me.fingerprint)

        assert FRAME == asks(listener, me, tls)


@versions
def test_a_drop_closes_the_open_connections_of_removed_certificates_and_no_other(
    tmp_path: Path, me: Identity, tls: ssl.TLSVersion
) -> None:
    """Live connections learn of a removal; those of others are not touched."""
    other = client(name="other")
    pins = Pins(me, other)
    with listening(tmp_path, pins) as listener:
        mine = [connected(listener, client_context(me, [listener.identity.pem], tls=tls)) for _ in range(3)]
        others = connected(listener, client_context(other, [listener.identity.pem], tls=tls))
        assert FRAME == others.exchange(FRAME)
        assert [FRAME] * 3 == [each.exchange(FRAME) for each in mine]
        pins.fingerprints.discard(me.fingerprint)

        assert 3 == listener.call(listener.server.drop, [me.fingerprint])

        assert all(is_refused(partial(each.exchange, FRAME)) for each in mine)
        assert FRAME == others.exchange(FRAME)
        others.close()
