"""The console's pages of certificates without a browser: previews, wrong inputs, secrets."""

import io
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from keyrack.service.office.certificates import read
from keyrack.shell import pki
from keyrack.shell.console.rooms.certificates_shown import Oddity, Way, looked
from keyrack.testing.certificate_pages import (
    ADD,
    ISSUE,
    SIGN,
    TRUST,
    Place,
    kept,
    pages_of_certificates,
    request_of,
    seal_of,
    text_of,
    vmca,
    wrong,
)
from keyrack.testing.certificates import ODDITIES, authority, client
from keyrack.testing.rest import NobodyThere


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with pages_of_certificates(tmp_path) as made:
        yield made


async def test_a_preview_comes_before_it_counts_and_belongs_to_what_was_shown(place: Place) -> None:
    """A direct second click, and one with another certificate in the field, only show."""
    mine, swapped = client(name="mine"), client(name="swapped")

    preview = await place.post("omar", ADD, pem=mine.pem.decode())
    guessed = await place.post("omar", ADD, pem=mine.pem.decode(), seen="0" * 64)
    other = await place.post("omar", ADD, pem=swapped.pem.decode(), seen=seal_of(preview))
    before = await place.trusted()
    done = await place.post("omar", ADD, pem=mine.pem.decode(), seen=seal_of(preview))

    assert (preview.status, "CN=mine" in text_of(preview), before) == (200, True, set())
    assert ("CN=mine" in text_of(guessed), "CN=swapped" in text_of(other)) == (True, True)
    assert (done.status, await place.trusted()) == (303, {mine.fingerprint})
    assert done.headers["location"].endswith(f"/{mine.fingerprint}?done=certificate-added")
    page = await place.get("vera", done.headers["location"])
    assert "The certificate is trusted, and counts now." in text_of(page)
    assert "No server runs here" in text_of(page)


async def test_what_is_odd_is_said_in_the_preview(place: Place) -> None:
    """And does not keep it from being trusted; a chain and DER in letters are read as what they are."""
    expired, server = ODDITIES["expired"](), ODDITIES["for servers only"]()
    chain = server.pem + authority("its issuer").pem
    preview = await place.post("omar", ADD, pem=expired.pem.decode())
    told = await place.post("omar", ADD, pem=chain.decode())
    letters = await place.post("omar", ADD, pem="".join(expired.pem.decode().splitlines()[1:-1]))

    assert "It has expired. It counts all the same" in text_of(preview)
    assert "is not for clients" in text_of(told)
    assert "holds 2 certificates. The first one counts" in text_of(told)
    assert "CN=late" in text_of(letters)


def private_key() -> str:
    """In PEM."""
    return client().key_pem.decode()


def upside_down() -> str:
    """A chain that begins with its root."""
    root = authority("top")
    return (root.pem + client(root).pem).decode()


WRONG: Final[Mapping[str, tuple[Callable[[], str], str]]] = {
    "nothing": (lambda: "", "there is nothing in it yet"),
    "a private key": (private_key, "never needs a client's key"),
    "certificate and key": (lambda: client().pem.decode() + private_key(), "never needs a client's key"),
    "a chain from its root": (
        upside_down,
        "begins with an authority's",
    ),
    "cut off": (lambda: client().pem.decode()[:300], "its END line is missing"),
    "a letter lost": (lambda: client().pem.decode().replace("MII", "MI!", 1), "is in the middle of it"),
    "a fingerprint": (lambda: client().fingerprint, "this is a fingerprint"),
    "garbage": (lambda: "<script>alert(1)</script>", "there is no certificate in it"),
    "a request": (lambda: request_of("vc").decode(), "this is a certificate signing request"),
    "far too long": (lambda: "A" * 100_001, "it has 100001 characters"),
}


async def test_what_is_no_certificate_is_told_beside_the_field_and_stays(place: Place) -> None:
    """By what it is; nothing of it runs in the page."""
    for what, (made, told) in WRONG.items():
        typed = made()

        answer = await place.post("omar", ADD, pem=typed, name="a name")

        assert (answer.status, seal_of(answer)) == (422, ""), what
        assert told.lower() in wrong(answer, "pem").lower(), what
        assert kept(answer, "pem") == typed.strip(), what
        assert 'value="a name"' in answer.body.decode(), what
        assert "<script>alert" not in answer.body.decode(), what
        assert await place.trusted() == set(), what


async def test_one_certificate_means_one_instance(place: Place) -> None:
    """Twice, elsewhere, and a name that is taken are told in the preview already."""
    mine, theirs = client(name="mine"), client(name="theirs")
    await place.pinned(place.prod, mine)
    await place.pinned(place.other, theirs)
    name = (await place.face.catalog.certificates(place.prod.identifier))[0].name

    twice = await place.post("omar", ADD, pem=mine.pem.decode())
    elsewhere = await place.post("omar", ADD, pem=theirs.pem.decode())
    taken = await place.post("omar", ADD, pem=client(name="third").pem.decode(), name=name)

    assert (twice.status, elsewhere.status, taken.status) == (409, 409, 409)
    assert "in force for this instance already" in wrong(twice, "pem")
    assert "belongs to instance 'other'" in wrong(elsewhere, "pem")
    assert kept(elsewhere, "pem") == theirs.pem.decode().strip()
    assert "choose another name" in wrong(taken, "pem")


async def test_a_request_is_shown_signed_and_handed_back(place: Place) -> None:
    """With the next click in vSphere; its page and its file have the certificate, and no other."""
    request = request_of("vc1.example.com").decode()

    preview = await place.post("omar", SIGN, request=request, days="30")
    done = await place.post("omar", SIGN, request=request, days="30", seen=seal_of(preview))
    page = await place.get("omar", done.headers["location"])
    file = await place.get("omar", done.headers["location"].partition("?")[0] + "/pem")
    refused = await place.post("omar", SIGN, request=request_of("ca", wants_authority=True).decode())
    days = await place.post("omar", SIGN, request=request, days="soon")

    assert ("CN=vc1.example.com" in text_of(preview), preview.status) == (True, 200)
    assert "Upload Signed CSR Certificate" in text_of(page)
    signed = x509.load_pem_x509_certificate(file.body)
    signed.verify_directly_issued_by(place.ca.certificate)
    assert file.headers["content-disposition"].startswith('attachment; filename="')
    assert await place.trusted() == {signed.fingerprint(hashes.SHA256()).hex()}
    assert "wants to be a certificate authority" in wrong(refused, "request")
    assert (days.status, 'value="soon"' in days.body.decode()) == (422, True)


async def test_a_pair_comes_as_a_file_and_stands_in_no_page(place: Place) -> None:
    """As ZIP with the key for its owner alone, or as PKCS #12; neither is kept in a cache."""
    packed = await place.post("omar", ISSUE, name="vc", form="pem")
    sealed = await place.post("omar", ISSUE, name="vc2", form="pkcs12", password="long enough", again="long enough")
    differs = await place.post("omar", ISSUE, form="pkcs12", password="long enough", again="another one")
    short = await place.post("omar", ISSUE, form="pkcs12", password="short", again="short")

    assert (packed.status, packed.headers["cache-control"]) == (200, "no-store")
    assert packed.headers["content-disposition"].startswith('attachment; filename="prod-')
    with zipfile.ZipFile(io.BytesIO(packed.body)) as file:
        assert {each.filename: each.external_attr >> 16 for each in file.infolist()} == {
            "client.pem": 0o644,
            "client.key": 0o600,
            "ca.pem": 0o644,
        }
        leaf = x509.load_pem_x509_certificate(file.read("client.pem"))
        private = serialization.load_pem_private_key(file.read("client.key"), None)
    assert private.public_key() == leaf.public_key()
    key_of, certificate, _ = pkcs12.load_key_and_certificates(sealed.body, b"long enough")
    assert key_of is not None
    assert certificate is not None
    assert {leaf.fingerprint(hashes.SHA256()).hex(), certificate.fingerprint(hashes.SHA256()).hex()} == (
        await place.trusted()
    )
    assert "differ" in wrong(differs, "again")
    assert (short.status, bool(wrong(short, "password"))) == (422, True)
    assert "long enough" not in differs.body.decode()


async def test_where_nothing_serves_a_pair_cannot_be_made_and_what_was_typed_stays(place: Place) -> None:
    """The deployment's authority is used by a serving process alone."""
    place.face.app.premises.back_office = NobodyThere()

    answer = await place.post("omar", ISSUE, name="vc", days="77")

    assert (answer.status, "No serving process answers" in text_of(answer)) == (503, True)
    assert 'value="77"' in answer.body.decode()


async def test_an_authority_is_told_by_whom_it_would_let_in(place: Place) -> None:
    """A VMCA without a pattern is warned of in words; another pattern than the one that was shown is shown anew."""
    root = vmca()
    pem = root.pem.decode()

    opened = await place.post("sofia", TRUST, pem=pem)
    narrowed = await place.post("sofia", TRUST, pem=pem, san_pattern="vc1.*")
    wider = await place.post("sofia", TRUST, pem=pem, seen=seal_of(narrowed))
    before = await place.trusted()
    done = await place.post("sofia", TRUST, pem=pem, san_pattern="vc1.*", seen=seal_of(narrowed))
    twice = await place.post("sofia", TRUST, pem=pem)
    leaf = await place.post("sofia", TRUST, pem=client().pem.decode(), subject_pattern="CN=*")
    own = await place.post("sofia", TRUST, pem=place.ca.certificate_pem.decode())

    assert "Every ESXi host and every solution user" in text_of(opened)
    assert "an alternative name like vc1.*" in text_of(narrowed)
    assert ("Every ESXi host" in text_of(wider), before) == (True, set())
    assert (done.status, await place.trusted()) == (303, {root.fingerprint})
    assert "trusts this authority already" in wrong(twice, "pem")
    assert "is no certificate authority" in wrong(leaf, "pem")
    assert 'value="CN=*"' in leaf.body.decode()
    assert "nobody trusts it as a whole" in wrong(own, "pem")


def test_where_a_certificate_is_from_shows_in_itself() -> None:
    """Made by the client, signed here, made here, or by another authority."""
    now = datetime.now(UTC)
    ca = pki.make_authority("ours", now=now, key=pki.make_key("ec-p256"))
    pair = pki.issue_client(ca, "vc", now=now, key=pki.make_key("ec-p256"))
    theirs = client(name="vc")
    signed = pki.sign_client(ca, theirs.certificate.subject, theirs.certificate.public_key(), now=now)  # type: ignore[arg-type]
    at = int(now.timestamp())

    def way(pem: bytes) -> Way:
        return looked(read(pem, instance="i", at=at).certificate, at, ca.certificate).way

    assert [way(each) for each in (theirs.pem, pki.pem_of(signed), pair.certificate_pem)] == [
        Way.OWN,
        Way.SIGNED,
        Way.ISSUED,
    ]
    # Of an authority that has our name, and not our key.
    fake = pki.make_authority("ours", now=now, key=pki.make_key("ec-p256"))
    assert way(pki.issue_client(fake, "vc", now=now, key=pki.make_key("ec-p256")).certificate_pem) is Way.OTHER


@pytest.mark.parametrize(
    ("what", "odd"),
    [
        ("no extensions", []),
        ("expired", [Oddity.EXPIRED]),
        ("not yet valid", [Oddity.EARLY]),
        ("for servers only", [Oddity.SERVER]),
        ("a certificate authority", [Oddity.AUTHORITY]),
        ("no subject", [Oddity.NAMELESS]),
        ("unknown critical extension", []),
    ],
)
def test_oddities(what: str, odd: list[Oddity]) -> None:
    """Each is said; an ordinary certificate has none."""
    at = int(time.time())
    made = looked(read(ODDITIES[what]().pem, instance="i", at=at).certificate, at)
    assert list(made.oddities) == odd
    assert made.alarm == (0 if what == "expired" else 30 if what == "not yet valid" else None)


SIGNED_WITH_SHA1: Final = (
    "MIIBcTCCARigAwIBAgIUee5nUp+5F4Cuchnnj7dDxA0ta8owCQYHKoZIzj0EATAOMQwwCgYDVQQDDANvbGQwIBcNMjYxMTIzMDAxOTMw"
    "WhgPMjEyNjEwMzAwMDE5MzBaMA4xDDAKBgNVBAMMA29sZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM0ZxFzMBrgqzPZ39AMsUzWr"
    "QpLTFek06IRR6J20vYKY+aFd1gc0M5c4HxX7SQcFR3ws8gjrh8HA1wI51XZrh2OjUzBRMB0GA1UdDgQWBBRWD0i4SWFxJSKBcMPn9bIK"
    "FahVMjAfBgNVHSMEGDAWgBRWD0i4SWFxJSKBcMPn9bIKFahVMjAPBgNVHRMBAf8EBTADAQH/MAkGByqGSM49BAEDSAAwRQIhAN6Rrok8"
    "7r9dIEMTDk0UK7xXw38zS3G3x5lfw5DIhuefAiBiHRe4SNg31nbsSwyyaS/Gm0QxDcMgYKwMblGVe1oKyA=="
)


def test_a_weak_hash_is_said() -> None:
    """What counts is the fingerprint; that the signature is of SHA-1 is told."""
    at = int(time.time())
    found = read(SIGNED_WITH_SHA1.encode(), instance="i", at=at).certificate
    assert list(looked(found, at).oddities) == [Oddity.WEAK, Oddity.AUTHORITY]
