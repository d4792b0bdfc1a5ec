"""Trusted authorities: which of them lets a client in whose certificate is not pinned, if any.

OpenSSL verifies the chain that the client has sent, up to an anchor: signatures, dates of every certificate, who may
sign, path lengths, name constraints. What it leaves open is decided here: that the chain ends at one of our anchors,
that no weak signature or key is in it, that the client is no authority itself, and that its names fit the pattern
(``docs/adr/0020-trusted-authorities.md``).
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from keyrack.domain.instances import Admittance, TrustedAuthority
from keyrack.domain.patterns import fits_name
from keyrack.service.office.certificates import fits_one_name
from keyrack.shell.kmip.verdicts import NotAdmitted

log = logging.getLogger(__name__)

LONGEST_CHAIN: Final = 8
"""Certificates above the leaf that a client may send; one that sends more is not listened to."""
LARGEST_CHAIN: Final = 64 * 1024
"""Bytes of all of them."""
REMEMBERED: Final = 1024
"""Chains that need not be verified again as long as nothing changes; only such as were found good are among them."""
NO_ANCHOR: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's words for: this chain ends at nobody that we trust."""
STRONG: Final = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
"""Hashes under which a signature counts; nobody can make a second certificate to it."""
SIGNS_FOR_TLS: Final = frozenset(
    {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """One anchor, with all instances that trust it."""

    certificate: crypto.X509
    store: crypto.X509Store
    trusted: Sequence[TrustedAuthority]
    names: tuple[str, str]
    """Its subject and its issuer, as :func:`_names` makes them."""


class Anchors:
    """The authorities as they were last seen, ready to be asked on the event loop's thread: it never waits."""

    def __init__(
        self,
        authorities: Sequence[TrustedAuthority] = (),
        barred: Sequence[tuple[str, str]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Trust these, except for the leaves that are ``barred`` from instances; ``clock``: seconds since 1970."""
        self._barred = frozenset(barred)
        self._clock = clock
        self._anchors: dict[str, _Anchor] = {}
        for authority in authorities:
            held = self._anchors.get(authority.fingerprint)
            trusted = (*held.trusted, authority) if held else (authority,)
            try:
                certificate = held.certificate if held else _loaded(authority.der)
                store = held.store if held else _store(certificate)
                names = held.names if held else _names(certificate)
            except (crypto.Error, ValueError):
                log.error("the trusted authority %s cannot be read and lets nobody in", authority.fingerprint)
                continue
            self._anchors[authority.fingerprint] = _Anchor(certificate, store, trusted, names)
        self._all = _store(*(each.certificate for each in self._anchors.values()))
        self._good: OrderedDict[tuple[str, tuple[bytes, ...]], Admittance] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._anchors)

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> Admittance:
        """By which authority a client is let in; raises :class:`NotAdmitted`.

        ``leaf``: its certificate, whose private key it has; ``sent``: what came with it. All in DER.
        """
        now = self._clock()
        key = fingerprint, tuple(sent)
        known = self._good.get(key)
        if known is not None and known.since <= now <= known.until:
            self._good.move_to_end(key)
            return known
        if len(sent) > LONGEST_CHAIN or sum(map(len, sent)) > LARGEST_CHAIN:
            raise NotAdmitted("it comes with too long a chain")
        try:
            admittance = self._judged(fingerprint, leaf, sent)
        except (crypto.Error, ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            raise NotAdmitted(f"its chain cannot be read ({type(error).__name__})") from error
        self._good[key] = admittance
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return admittance

    def _judged(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> Admittance:
        if fingerprint in self._anchors:
            raise NotAdmitted("it is the certificate of a trusted authority, and not of a client of it")
        loaded, between = _loaded(leaf), [_loaded(each) for each in sent]
        # A stranger costs one look, however many authorities there are.
        try:
            crypto.X509StoreContext(self._all, loaded, between).verify_certificate()
        except crypto.X509StoreContextError as error:
            if error.errors[0] in NO_ANCHOR:
                raise NotAdmitted("certificate not trusted: neither pinned nor of a trusted authority") from None
        admitting: list[Admittance] = []
        refusals: list[str] = []
        near = self._near(loaded, between)
        for anchor in near:
            try:
                since, until, certificate = self._verified(anchor, near, loaded, between)
                admitting += [
                    Admittance(
                        instance=each.instance,
                        authority=each.fingerprint,
                        number=each.number,
                        since=since,
                        until=until,
                    )
                    for each in anchor.trusted
                    if self._is_meant(each, fingerprint, certificate, refusals)
                ]
            except NotAdmitted as refusal:
                refusals.append(str(refusal))
        return _the_one(admitting, refusals)

    def _near(self, leaf: crypto.X509, between: Sequence[crypto.X509]) -> Sequence[_Anchor]:
        """The anchors that a chain can come to, by the names of issuers alone: with many, most need no look."""
        links = [_names(each) for each in between] + [each.names for each in self._anchors.values()]
        reached, fresh = set[str](), {_names(leaf)[1]}
        while fresh:
            reached |= fresh
            fresh = {issuer for subject, issuer in links if subject in fresh} - reached
        return [each for each in self._anchors.values() if each.names[0] in reached]

    def _verified(
        self, anchor: _Anchor, near: Sequence[_Anchor], leaf: crypto.X509, between: Sequence[crypto.X509]
    ) -> tuple[int, int, x509.Certificate]:
        """From when to when the chain to this anchor holds, and the leaf; raises :class:`NotAdmitted`."""
        # The other anchors help to build the chain: what a client leaves out must not decide where it gets in.
        others = [each.certificate for each in near if each is not anchor]
        try:
            context = crypto.X509StoreContext(anchor.store, leaf, [*between, *others])
            chain = [each.to_cryptography() for each in context.get_verified_chain()]
        except crypto.X509StoreContextError as error:
            if error.errors[0] in NO_ANCHOR:
                raise NotAdmitted("") from None
            raise NotAdmitted(f"its chain is refused: {error.args[0]} (certificate {error.errors[1]})") from None
        top = crypto.X509.from_cryptography(chain[-1])
        if len(chain) < 2 or _der(top) != _der(anchor.certificate):
            raise NotAdmitted("its chain ends at nobody that is trusted")
        _check_chain(chain)
        since = max(int(each.not_valid_before_utc.timestamp()) for each in chain)
        until = min(int(each.not_valid_after_utc.timestamp()) for each in chain)
        if not since <= self._clock() <= until:
            raise NotAdmitted("a certificate of its chain is expired, or not yet valid")
        return since, until, chain[0]

    def _is_meant(
        self, authority: TrustedAuthority, fingerprint: str, leaf: x509.Certificate, refusals: list[str]
    ) -> bool:
        """Whether this act of trust means this client; if not, why, among the ``refusals``."""
        why = ""
        if (authority.instance, fingerprint) in self._barred:
            why = f"an administrator has barred it; authority {authority.name!r} would let it in"
        elif not fits_name(authority.subject_pattern, leaf.subject.rfc4514_string()):
            why = f"its subject does not fit the pattern of authority {authority.name!r}"
        elif not fits_one_name(authority.san_pattern, leaf):
            why = f"none of its alternative names fits the pattern of authority {authority.name!r}"
        if why:
            refusals.append(why)
        return not why


def _the_one(admitting: Sequence[Admittance], refusals: Sequence[str]) -> Admittance:
    """What lets it in to one instance; by two ways to the same one, the first."""
    if not admitting:
        told = [each for each in refusals if each]
        raise NotAdmitted(told[0] if told else "its chain ends at nobody that is trusted")
    if len({each.instance for each in admitting}) > 1:
        raise NotAdmitted("authorities of more than one instance would let it in: pin it to the one that is meant")
    return admitting[0]


def _check_chain(chain: Sequence[x509.Certificate]) -> None:
    """What OpenSSL's store leaves open; raises :class:`NotAdmitted`. The anchor's own signature is not relied on."""
    if is_authority(chain[0]):
        raise NotAdmitted("it is a certificate authority itself, and no client")
    for place, certificate in enumerate(chain):
        weak = weakness(certificate)
        if weak:
            raise NotAdmitted(f"its chain has {weak} (certificate {place})")
        if place < len(chain) - 1 and not _is_signed_well(certificate):
            raise NotAdmitted(f"its chain is signed with a hash that is not safe any more (certificate {place})")
        if place and not _may_sign_clients(certificate):
            raise NotAdmitted(f"its chain has an authority that is for other purposes (certificate {place})")


def weakness(certificate: x509.Certificate) -> str:
    """What is too weak about a certificate's key, for people; empty where nothing is."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return "" if key.key_size >= 2048 else f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.key_size >= 256 else f"a key on the small curve {key.curve.name}"
    return "" if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else "a key of an unknown kind"


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it says CA:TRUE."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_signed_well(certificate: x509.Certificate) -> bool:
    signed = certificate.signature_hash_algorithm
    # Ed25519 and Ed448 have their hash within them.
    return signed is None or signed.name in STRONG


def _may_sign_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return not SIGNS_FOR_TLS.isdisjoint(usages)


def _loaded(der: bytes) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _names(certificate: crypto.X509) -> tuple[str, str]:
    """Subject and issuer without what OpenSSL overlooks when it compares names: case, spaces, kinds of letters."""
    read = certificate.to_cryptography()
    subject, issuer = (" ".join(each.rfc4514_string().casefold().split()) for each in (read.subject, read.issuer))
    return subject, issuer


def _store(*certificates: crypto.X509) -> crypto.X509Store:
    """A store in which each of them may be the end of a chain, an intermediate one too."""
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for each in certificates:
        store.add_cert(each)
    return store
