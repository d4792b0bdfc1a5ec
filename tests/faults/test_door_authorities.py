"""Whom a trusted authority lets in: its clients, and nobody that only looks like one; TLS 1.2 and 1.3.

Where a protection keeps an attack out, a second test takes the protection away and shows that the attack then works.
"""

import datetime as dt
import ssl
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyrack.domain.instances import TrustedAuthority
from keyrack.shell.kmip import anchors as anchoring
from keyrack.shell.kmip.anchors import LONGEST_CHAIN
from keyrack.shell.kmip.server import KmipServer
from keyrack.shell.kmip.tls import Outdated, make_context
from keyrack.testing.certificates import Algorithm, Identity, authority, client, client_context, issue
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.listener import EchoDesk, Listener, Pins, Trusting, listening, trusted

FRAME = b"\x42\x00\x78\x01\x00\x00\x00\x08" + b"question"

versions = pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")
CA = (x509.BasicConstraints(ca=True, path_length=None), True)


def presenting(listener: Listener, leaf: Identity, chain: Sequence[Identity], tls: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's context that shows a certificate and, behind it, a chain."""
    context = client_context(None, [listener.identity.pem], tls=tls)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = leaf.write(Path(directory), "client")
        certificate.write_bytes(b"".join(each.pem for each in (leaf, *chain)))
        context.load_cert_chain(certificate, key)
    return context


def asks(listener: Listener, leaf: Identity, *chain: Identity, tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What a client gets for its question; raises what it gets instead of an answer."""
    with Client(listener.address, presenting(listener, leaf, chain, tls)) as asking:
        return asking.exchange(FRAME)


def is_let_in(
    listener: Listener, leaf: Identity, *chain: Identity, tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> bool:
    """Whether it is answered."""
    try:
        return asks(listener, leaf, *chain, tls=tls) == FRAME
    except (ssl.SSLError, ConnectionError, ConnectionEnded):
        return False


def reason(listener: Listener) -> str:
    """Why the last client was refused, as it is written down."""
    return listener.call(listener.server.seen)[-1].reason


def middle(issuer: Identity, name: str = "middle", *more: tuple[x509.ExtensionType, bool]) -> Identity:
    """An intermediate authority."""
    return issue(name, issuer=issuer, extensions=[CA, *more])


@pytest.fixture(scope="module")
def root() -> Identity:
    """The root that an administrator trusts."""
    return authority("root", Algorithm.RSA_2048)


def vmca() -> Identity:
    """A root as a vCenter's own authority (VMCA) makes it."""
    key = rsa.generate_private_key(65537, 2048)
    parts = [
        (NameOID.COMMON_NAME, "CA"),
        (NameOID.DOMAIN_COMPONENT, "vsphere"),
        (NameOID.DOMAIN_COMPONENT, "local"),
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.STATE_OR_PROVINCE_NAME, "California"),
        (NameOID.ORGANIZATION_NAME, "vc1.example.com"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "VMware Engineering"),
    ]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return signed(name, None, key, [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)])


def machine(issuer: Identity, host: str = "vc1.example.com") -> Identity:
    """A vCenter's machine certificate: RSA, no Extended Key Usage, its name in the Subject Alternative Name."""
    parts = [(NameOID.COMMON_NAME, host), (NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "VMware")]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    key = rsa.generate_private_key(65537, 2048)
    return signed(name, issuer, key, [(usage, False), (names, False)])


def signed(
    name: x509.Name,
    issuer: Identity | None,
    key: "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey",
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    *,
    days: tuple[int, int] = (-1, 365),
) -> Identity:
    """A certificate of a whole name over a given key."""
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=issuer.certificate.subject if issuer else name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + dt.timedelta(days=days[0]),
        not_valid_after=now + dt.timedelta(days=days[1]),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer else key
    return Identity(certificate=builder.sign(signer, hashes.SHA256()), key=key)


# Let in ---------------------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("depth", [0, 1])
def test_a_machine_certificate_of_a_trusted_vmca_gets_in(tmp_path: Path, depth: int, tls: ssl.TLSVersion) -> None:
    """Root, or root and intermediate, then a vCenter's machine certificate without Extended Key Usage."""
    top = vmca()
    between = [middle(top, "issuing")] * depth
    leaf = machine([top, *between][-1])
    desk = EchoDesk()
    with listening(tmp_path, Pins(), desk, authorities=Trusting(trusted(top))) as listener:
        assert FRAME == asks(listener, leaf, *between, top, tls=tls)
    (peer,) = desk.peers
    assert peer.admittance is not None
    assert (peer.fingerprint, peer.admittance.authority) == (leaf.fingerprint, top.fingerprint)


@versions
def test_an_intermediate_may_be_the_anchor(tmp_path: Path, root: Identity, tls: ssl.TLSVersion) -> None:
    """Its root is unknown, and not sent; what another intermediate of the same root has signed stays outside."""
    ours, theirs = middle(root, "ours"), middle(root, "theirs")
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(ours))) as listener:
        assert is_let_in(listener, client(ours), tls=tls)
        assert is_let_in(listener, client(ours), ours, root, tls=tls)
        assert not is_let_in(listener, client(theirs), theirs, root, tls=tls)


@versions
def test_a_pin_wins_over_an_authority(tmp_path: Path, root: Identity, tls: ssl.TLSVersion) -> None:
    """No authority is asked about a certificate that is pinned."""
    pinned = client(root)
    desk = EchoDesk()
    with listening(tmp_path, Pins(pinned), desk, authorities=Trusting(trusted(root))) as listener:
        assert FRAME == asks(listener, pinned, root, tls=tls)
    assert [None] == [peer.admittance for peer in desk.peers]


# Kept out ---------------------------------------------------------------------------------------------------------


def stranger(root: Identity) -> list[Identity]:
    """Signed by nobody that is trusted."""
    return [client()]


def same_names(root: Identity) -> list[Identity]:
    """Another authority of the same name."""
    other = authority("root")
    return [client(other), other]


def under_a_leaf(root: Identity) -> list[Identity]:
    """Signed by the key of a client that is let in."""
    honest = client(root, "honest")
    return [client(honest), honest]


def expired(root: Identity) -> list[Identity]:
    """Dates count where an authority lets in."""
    return [issue("late", issuer=root, days=(-30, -1))]


def early(root: Identity) -> list[Identity]:
    """Not yet valid."""
    return [issue("early", issuer=root, days=(1, 30))]


def under_an_expired_intermediate(root: Identity) -> list[Identity]:
    """Dates count for each certificate of the chain."""
    between = issue("between", issuer=root, days=(-30, -1), extensions=[CA])
    return [client(between), between]


def under_an_intermediate_that_is_none(root: Identity) -> list[Identity]:
    """Without Basic Constraints nobody signs certificates."""
    between = issue("between", issuer=root)
    return [client(between), between]


def beyond_the_path_length(root: Identity) -> list[Identity]:
    """An intermediate that may sign leaves alone has signed another one."""
    first = issue("first", issuer=root, extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)])
    second = middle(first, "second")
    return [client(second), second, first]


def outside_the_name_constraints(root: Identity) -> list[Identity]:
    """An intermediate for names of one domain has signed one of another."""
    constraint = x509.NameConstraints([x509.DNSName("example.com")], None)
    between = middle(root, "constrained", (constraint, True))
    names = x509.SubjectAlternativeName([x509.DNSName("vc.example.org")])
    return [issue("leaf", issuer=between, extensions=[(names, False)]), between]


def for_other_purposes(root: Identity) -> list[Identity]:
    """An intermediate that signs those who sign programs."""
    between = middle(root, "code", (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False))
    return [client(between), between]


def the_anchor_itself(root: Identity) -> list[Identity]:
    """Whoever has the authority's own key is no client."""
    return [root]


def an_authority(root: Identity) -> list[Identity]:
    """An intermediate authority as a client."""
    return [middle(root)]


def unknown_critical(root: Identity) -> list[Identity]:
    """An extension that must be understood, and is not."""
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    return [issue("critical", issuer=root, extensions=[(odd, True)])]


def garbled(root: Identity) -> list[Identity]:
    """An intermediate whose signature does not hold."""
    between = middle(authority("root", Algorithm.RSA_2048), "between")
    return [client(between), between]


def with_sha1(root: Identity) -> list[Identity]:
    """A signature to which a second certificate could be made."""
    leaf = client(root)
    assert isinstance(root.key, rsa.RSAPrivateKey)
    # sha256WithRSAEncryption becomes sha1WithRSAEncryption, both where it is signed and where it is told.
    body = leaf.certificate.tbs_certificate_bytes.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    signature = root.key.sign(body, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    der = leaf.der.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)[: -len(signature)] + signature
    return [Identity(certificate=x509.load_der_x509_certificate(der), key=leaf.key)]


def with_a_short_key(root: Identity) -> list[Identity]:
    """An intermediate with 1,024 bits."""
    between = signed(authority("weak").certificate.subject, root, rsa.generate_private_key(65537, 1024), [CA])
    return [client(between), between]


def with_a_long_chain(root: Identity) -> list[Identity]:
    """More certificates than anybody needs."""
    return [client(root), *(client(name=str(n)) for n in range(LONGEST_CHAIN + 1))]


ATTACKS = [
    stranger,
    same_names,
    under_a_leaf,
    expired,
    early,
    under_an_expired_intermediate,
    under_an_intermediate_that_is_none,
    beyond_the_path_length,
    outside_the_name_constraints,
    for_other_purposes,
    the_anchor_itself,
    an_authority,
    unknown_critical,
    garbled,
    with_sha1,
    with_a_short_key,
    with_a_long_chain,
]


@versions
@pytest.mark.parametrize("attack", ATTACKS)
def test_nobody_else_is_let_in(
    tmp_path: Path, root: Identity, attack: Callable[[Identity], list[Identity]], tls: ssl.TLSVersion
) -> None:
    """Before anything is read from it; the honest client beside it gets in."""
    desk = EchoDesk()
    leaf, *chain = attack(root)
    with listening(tmp_path, Pins(), desk, authorities=Trusting(trusted(root))) as listener:
        assert not is_let_in(listener, leaf, *chain, tls=tls)
        assert [] == desk.peers
        told = reason(listener)
        assert told
        assert is_let_in(listener, client(root), tls=tls)
    print(f"{attack.__name__}: {told}")  # noqa: T201


GUARDS: dict[str, tuple[Callable[[Identity], list[Identity]], str, object]] = {
    "hashes": (with_sha1, "STRONG", anchoring.STRONG | {"sha1"}),
    "purposes": (
        for_other_purposes,
        "SIGNS_FOR_TLS",
        anchoring.SIGNS_FOR_TLS | {ExtendedKeyUsageOID.CODE_SIGNING},
    ),
    "keys": (with_a_short_key, "weakness", lambda certificate: ""),
    "authorities": (an_authority, "is_authority", lambda certificate: False),
    "lengths": (with_a_long_chain, "LONGEST_CHAIN", 100),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_control_each_guard_of_ours_is_what_keeps_its_attack_out(
    tmp_path: Path, root: Identity, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OpenSSL's store leaves open: without the guard, the attack works."""
    attack, name, without = GUARDS[guard]
    monkeypatch.setattr(anchoring, name, without)
    leaf, *chain = attack(root)
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root))) as listener:
        assert is_let_in(listener, leaf, *chain)


@versions
def test_control_the_judgement_after_the_handshake_is_what_keeps_strangers_out(
    tmp_path: Path, root: Identity, tls: ssl.TLSVersion
) -> None:
    """While an authority is trusted the callback lets everyone through: without the judgement, a stranger gets in."""

    def without_judgement(server: KmipServer) -> None:
        from keyrack.shell.kmip.tls import _der, fingerprint_of
        from keyrack.shell.kmip.verdicts import Verdict

        def identify(connection: object) -> Verdict:
            der = _der(connection.get_peer_certificate())  # type: ignore[attr-defined]
            return Verdict(fingerprint=fingerprint_of(der), known=True)

        server._plane.identify = identify  # type: ignore[method-assign, assignment]

    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root)), sabotage=[without_judgement]) as listener:
        assert is_let_in(listener, client(), tls=tls)


@versions
def test_the_callback_lets_nobody_through_while_no_authority_is_trusted(
    tmp_path: Path, root: Identity, tls: ssl.TLSVersion
) -> None:
    """Then a stranger is refused within the handshake, as ever, and its chain is not looked at."""
    trusting = Trusting()
    with listening(tmp_path, Pins(), authorities=trusting) as listener:
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown ca|certificate unknown|bad certificate|verify"):
            asks(listener, client(root), tls=tls)
        trusting.anchors = Trusting(trusted(root)).anchors
        assert is_let_in(listener, client(root), tls=tls)


@versions
def test_a_short_rsa_key_is_refused_within_the_handshake(tmp_path: Path, root: Identity, tls: ssl.TLSVersion) -> None:
    """What no pin overrules, no authority does either."""
    weak = signed(client().certificate.subject, root, rsa.generate_private_key(65537, 1024), [])
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root))) as listener:
        assert not is_let_in(listener, weak, tls=tls)


@versions
def test_an_outdated_pin_is_not_let_in_by_an_authority_where_the_policy_refuses_it(
    tmp_path: Path, root: Identity, tls: ssl.TLSVersion
) -> None:
    """A pin wins, also when it says no."""
    late = issue("late", issuer=root, days=(-30, -1))
    options = {"outdated": Outdated.REFUSE, "authorities": Trusting(trusted(root))}
    with listening(tmp_path, Pins(late), **options) as listener:  # type: ignore[arg-type]
        assert not is_let_in(listener, late, tls=tls)


class Broken(Trusting):
    """Authorities that cannot be asked."""

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> object:  # type: ignore[override]
        """Fail as a parser does."""
        raise RecursionError("too deep")


class Truthy(Trusting):
    """Authorities that answer something that is no admittance."""

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> object:  # type: ignore[override]
        """Not a yes."""
        return "yes"


@pytest.mark.parametrize("kind", [Broken, Truthy])
def test_the_door_stays_shut_when_authorities_cannot_be_asked(
    tmp_path: Path, root: Identity, kind: type[Trusting]
) -> None:
    """An exception is a refusal, and so is everything that is no admittance."""
    with listening(tmp_path, Pins(), authorities=kind(trusted(root))) as listener:
        assert not is_let_in(listener, client(root))
        assert not is_let_in(listener, client(root))


# Which instance, and by which name ---------------------------------------------------------------------------------


def test_one_that_authorities_of_two_instances_would_let_in_is_refused(tmp_path: Path, root: Identity) -> None:
    """Whatever part of its chain it shows: what it leaves out must not decide where it gets in."""
    between = middle(root)
    leaf = client(between)
    trusting = Trusting(trusted(root, "one"), trusted(between, "two", number=2))
    with listening(tmp_path, Pins(), authorities=trusting) as listener:
        for chain in ([], [between], [between, root]):
            assert not is_let_in(listener, leaf, *chain)
            assert "more than one instance" in reason(listener)
        trusting.anchors = Trusting(trusted(root, "one"), trusted(between, "one", number=2)).anchors
        assert is_let_in(listener, leaf)


def named(root: Identity, common_name: str, *names: str) -> Identity:
    """A client of the authority with this common name and these DNS names."""
    extensions = [(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)] if names else []
    return issue(common_name, issuer=root, extensions=extensions)


SUBJECTS = [
    ("CN=vc1.example.com", "vc1.example.com", True),
    ("CN=vc*.example.com", "vc17.example.com", True),
    ("CN=VC*.example.com", "vc17.example.com", False),
    ("CN=vc1.example.com", "vc1.example.com.evil.org", False),
    ("CN=vc.+", "vc.+", False),
    ("CN=vc*,O=Example", "vc,O=Example", False),
    ("CN=vc1.example.com", "vc1.example.com\u0000.evil.org", False),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), SUBJECTS)
def test_the_subject_has_to_fit_the_pattern(
    tmp_path: Path, root: Identity, pattern: str, name: str, fits: bool
) -> None:
    """Letter for letter, ``*`` for any characters, and no part of a name is taken for two."""
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root, subject_pattern=pattern))) as listener:
        assert fits == is_let_in(listener, named(root, name))


@pytest.mark.parametrize(
    ("names", "fits"), [(("x.org", "vc1.example.com"), True), (("vc1.example.org",), False), ((), False)]
)
def test_one_alternative_name_has_to_fit_the_pattern(
    tmp_path: Path, root: Identity, names: tuple[str, ...], fits: bool
) -> None:
    """One of them is enough; none at all is not."""
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root, san_pattern="*.example.com"))) as listener:
        assert fits == is_let_in(listener, named(root, "any", *names))


# Taken back --------------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("how", ["removed", "barred", "given anew", "narrowed", "ambiguous"])
def test_live_connections_go_when_what_let_them_in_is_taken_back(
    tmp_path: Path, root: Identity, how: str, tls: ssl.TLSVersion
) -> None:
    """And those that another authority let in stay."""
    other_root = authority("other")
    mine, other = client(root, "mine"), client(other_root)
    staying = trusted(other_root, "two", number=2)
    changes: dict[str, tuple[Sequence[TrustedAuthority], Sequence[tuple[str, str]]]] = {
        "removed": ((staying,), ()),
        "barred": ((trusted(root), staying), (("one", mine.fingerprint),)),
        "given anew": ((trusted(root, number=3), staying), ()),
        "narrowed": ((trusted(root, subject_pattern="CN=nobody"), staying), ()),
        "ambiguous": ((trusted(root), staying, trusted(root, "three", number=4)), ()),
    }
    trusting = Trusting(trusted(root), staying)
    with listening(tmp_path, Pins(), authorities=trusting) as listener:
        open_ones = [Client(listener.address, presenting(listener, mine, (), tls)) for _ in range(3)]
        stays = Client(listener.address, presenting(listener, other, (), tls))
        assert [FRAME] * 4 == [each.exchange(FRAME) for each in (*open_ones, stays)]
        authorities, barred = changes[how]
        trusting.anchors = Trusting(*authorities, barred=barred).anchors

        assert 3 == listener.call(listener.server.drop_misfits)

        for each in open_ones:
            with pytest.raises((ConnectionEnded, OSError, ssl.SSLError)):
                each.exchange(FRAME)
        assert FRAME == stays.exchange(FRAME)
        stays.close()


@versions
def test_no_session_of_an_admitted_client_is_resumed(tmp_path: Path, root: Identity, tls: ssl.TLSVersion) -> None:
    """A resumed handshake brings no chain, and skips the callback: it is refused, were one ever resumed."""
    from OpenSSL import SSL

    def with_sessions(server: KmipServer) -> None:
        context = make_context(server._plane._settings, server._plane._verify)
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(b"control")
        server._plane._context = context

    leaf = client(root)
    for sabotage in ([], [with_sessions]):
        with listening(tmp_path, Pins(), authorities=Trusting(trusted(root)), sabotage=sabotage) as listener:
            context = presenting(listener, leaf, (), tls)
            earlier = _session(listener, context)
            later = partial(_resumes, listener, context, earlier)
            assert (False, True) == later() if not sabotage else not later()[1]


def _session(listener: Listener, context: ssl.SSLContext) -> ssl.SSLSession:
    import socket

    with socket.create_connection(listener.address, 5) as plain, context.wrap_socket(plain) as wrapped:
        wrapped.sendall(FRAME)
        wrapped.recv(len(FRAME))
        session = wrapped.session
        wrapped.unwrap()
    assert session is not None
    return session


def _resumes(listener: Listener, context: ssl.SSLContext, earlier: ssl.SSLSession) -> tuple[bool, bool]:
    """Whether the session was resumed, and whether it was answered."""
    import socket

    with socket.create_connection(listener.address, 5) as plain:
        try:
            with context.wrap_socket(plain, session=earlier) as wrapped:
                wrapped.sendall(FRAME)
                return bool(wrapped.session_reused), wrapped.recv(len(FRAME)) == FRAME
        except (ssl.SSLError, ConnectionError):
            return True, False


@versions
def test_no_names_of_authorities_are_told(tmp_path: Path, root: Identity, tls: ssl.TLSVersion) -> None:
    """The request for a certificate names nobody: tenants do not learn of each other, and no list can grow too long."""
    from OpenSSL import SSL

    with listening(tmp_path, Pins(), authorities=Trusting(trusted(root))) as listener:
        import socket

        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        version = SSL.TLS1_2_VERSION if tls is ssl.TLSVersion.TLSv1_2 else SSL.TLS1_3_VERSION
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        with socket.create_connection(listener.address, 5) as plain:
            plain.settimeout(None)
            engine = SSL.Connection(context, plain)
            engine.set_connect_state()
            try:
                engine.do_handshake()
                engine.recv(1)
            except SSL.Error:
                pass
            assert [] == engine.get_client_ca_list()


def test_algorithms_of_vcenters_are_both_let_in(tmp_path: Path) -> None:
    """RSA under RSA, and an elliptic key under RSA."""
    top = authority("rsa", Algorithm.RSA_2048)
    with listening(tmp_path, Pins(), authorities=Trusting(trusted(top))) as listener:
        assert is_let_in(listener, client(top, algorithm=Algorithm.RSA_2048))
        assert is_let_in(listener, client(top))
