"""The four ways in, through the pages and by real TLS clients; who knocked; the page beside vSphere."""

import contextlib
import io
import ssl
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Browser, Page
from tests.console.conftest import Console

from keyrack.ports.catalog import Unit
from keyrack.service.office.certificates import read
from keyrack.testing import aside
from keyrack.testing.browsing import SMALL, Watched, opened
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.certificate_pages import vmca
from keyrack.testing.certificates import ODDITIES, Identity, authority, client, client_context, issue
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.streams import Writer
from keyrack.testing.vcenter import VCenter

REFUSED = (ssl.SSLError, ConnectionError, ConnectionEnded)


@pytest.fixture(scope="module", autouse=True)
def instances(console: Console) -> None:
    """One, and nobody is let in."""
    console.web.deployment.run("instance", "create", "prod")


def pinned(console: Console, identity: Identity) -> None:
    """Into the catalog, past every page."""
    (prod,) = console.web.instances()
    offered = read(identity.pem, instance=prod.identifier, at=int(time.time()))

    async def commit() -> None:
        catalog = await catalog_at(console.web.deployment.catalog, "tests")
        try:
            await catalog.commit(Unit(entries=(), certificates=(offered.certificate,)))
        finally:
            await catalog.close()

    aside.run(commit())


def address(console: Console) -> tuple[str, int]:
    """Where KMIP listens."""
    told = (console.web.deployment.directory / "run/kmip.address").read_text().strip()
    host, _, port = told.rpartition(":")
    return host, int(port)


def gets_a_key(console: Console, identity: Identity, chain: tuple[Identity, ...] = ()) -> None:
    """By a TLS connection of its own; raises one of :data:`REFUSED`."""
    with Client(address(console), context_of(console, identity, chain)) as asking:
        writer = Writer(asking, "prod", "pages")
        writer.get(writer.create())


def context_of(console: Console, identity: Identity, chain: tuple[Identity, ...] = ()) -> ssl.SSLContext:
    """Of a client with this certificate, and what is sent behind it."""
    deployment = console.web.deployment
    context = client_context(None, [deployment.authority.pem])
    path = deployment.directory / "client.pem"
    path.write_bytes(b"".join((identity.pem, *(each.pem for each in chain), identity.key_pem)))
    context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def as_somebody(browser: Browser, console: Console, name: str, **options: object) -> Iterator[tuple[Watched, Page]]:
    """A page of somebody who is logged in."""
    with opened(browser, console.url, **options) as watched:  # type: ignore[arg-type]
        watched.log_in(name)
        yield watched, watched.page


def test_vcenters_own_certificate_is_picked_shown_trusted_and_removed(browser: Browser, console: Console) -> None:
    """By an operator; removed by a security officer, at once and on an open connection too."""
    own = ODDITIES["as vCenter makes it"]()
    with as_somebody(browser, console, "omar") as (watched, page):
        watched.go("/instances/prod/certificates")
        watched.check()
        page.click("text=Trust vCenter's own certificate")
        watched.expected.add(422)
        page.fill("#pem", own.key_pem.decode())
        page.click("main button.first")
        assert "never needs a client's key" in page.inner_text("#pem-wrong")
        assert "PRIVATE KEY" in page.input_value("#pem")
        watched.check()
        # A file in DER goes into the same field, in letters.
        page.set_input_files("input[type=file]", {"name": "vc.der", "mimeType": "x", "buffer": own.der})
        page.wait_for_function("document.getElementById('pem').value.startsWith('MI')")
        page.click("main button.first")
        page.wait_for_selector("text=This is what you have handed over")
        watched.check()
        with pytest.raises(REFUSED):
            gets_a_key(console, own)
        page.click("main button.first")
        page.wait_for_url("**?done=certificate-added")
        assert "In force on 1 of 1 process" in page.inner_text("main")
        watched.check()
        gets_a_key(console, own)
        certificate = page.url.partition("?")[0].removeprefix(console.url)

    with as_somebody(browser, console, "sofia") as (watched, page):
        watched.expected.add(409)
        watched.go(certificate)
        assert "127.0.0.1" in page.inner_text("main")
        watched.check()
        page.click("text=Remove it")
        watched.check()
        page.click("main form button.first")
        watched.check()
        page.fill("#confirmation", "prod")
        with Client(address(console), context_of(console, own)) as asking:
            Writer(asking, "prod", "open").create()
            page.click("main form button.first")
            page.wait_for_url("**?done=certificate-removed")
            with pytest.raises(REFUSED):
                Writer(asking, "prod", "open").create()
        with pytest.raises(REFUSED):
            gets_a_key(console, own)
        watched.check()


def request_of(private: rsa.RSAPrivateKey) -> str:
    """As a vCenter makes it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vc1.example.com")])
    builder = x509.CertificateSigningRequestBuilder(name)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_is_signed_and_a_pair_is_issued(browser: Browser, console: Console, tmp_path: Path) -> None:
    """The certificate is on the page and as a file; the key is in a file alone, and in no page."""
    private = rsa.generate_private_key(65537, 2048)
    with as_somebody(browser, console, "adam", theme="dark") as (watched, page):
        watched.go("/instances/prod/certificates/sign")
        watched.check()
        page.fill("#request", request_of(private))
        page.click("main button.first")
        page.wait_for_selector("text=This is what is asked for")
        watched.check()
        page.click("main button.first")
        page.wait_for_url(lambda url: url.endswith("next=upload&done=certificate-signed"))
        assert "Upload Signed CSR Certificate" in page.inner_text("main")
        watched.check()
        shown = page.inner_text("#pem")
        with page.expect_download() as download:
            page.click("a[download]")
        assert Path(download.value.path()).read_text() == shown
        gets_a_key(console, Identity(certificate=x509.load_pem_x509_certificate(shown.encode()), key=private))

        watched.go("/instances/prod/certificates/issue")
        watched.check()
        with page.expect_download() as download:
            page.click("main button.first")
        with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as file:
            certificate, key = file.read("client.pem"), file.read("client.key")
        page.wait_for_selector("#issued:visible")
        watched.check()
        assert "PRIVATE KEY" not in page.content()
        loaded = serialization.load_pem_private_key(key, None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        gets_a_key(console, Identity(certificate=x509.load_pem_x509_certificate(certificate), key=loaded))


def test_an_authority_lets_in_whom_its_pattern_fits(browser: Browser, console: Console) -> None:
    """A VMCA root, narrowed by a name: vCenter's machine certificate gets in, a host's does not; on a phone."""
    root = vmca()
    names = {
        name: issue(name, issuer=root, extensions=[(x509.SubjectAlternativeName([x509.DNSName(name)]), False)])
        for name in ("vc1.example.com", "esx1.example.com")
    }
    with as_somebody(browser, console, "sofia", viewport=SMALL) as (watched, page):
        watched.go("/instances/prod/authorities/add")
        watched.check()
        page.fill("#pem", root.pem.decode())
        page.click("main button.first")
        page.wait_for_selector("text=Every ESXi host and every solution user")
        watched.check()
        page.click("summary:has-text('Change what was handed over')")
        page.fill("#san_pattern", "vc1.*")
        page.click("text=Show whom it would let in")
        page.wait_for_selector("text=an alternative name like vc1.*")
        page.click("main button.first")
        page.wait_for_url("**?done=authority-trusted")
        watched.check()
        gets_a_key(console, names["vc1.example.com"], (root,))
        with pytest.raises(REFUSED):
            gets_a_key(console, names["esx1.example.com"], (root,))
        watched.expected.add(409)
        page.click("text=Trust it no more")
        page.click("main form button.first")
        page.fill("#confirmation", "prod")
        watched.check()
        page.click("main form button.first")
        page.wait_for_url("**?done=authority-removed")
        with pytest.raises(REFUSED):
            gets_a_key(console, names["vc1.example.com"], (root,))


def test_the_page_beside_vsphere_ticks_while_a_vcenter_connects(browser: Browser, console: Console) -> None:
    """It knocks, is trusted from the page, asks, makes its first key and fetches it; each tick comes by itself."""
    mine = client(name="vc5.example.com")

    def ticked(page: Page, step: str, state: str = "done") -> None:
        page.wait_for_selector(f"[data-step={step}][data-state={state}]", timeout=5000)

    with as_somebody(browser, console, "omar") as (watched, page):
        watched.go("/connect/prod")
        ticked(page, "came", "waits")
        watched.check()
        with contextlib.suppress(*REFUSED):
            VCenter(address(console), context_of(console, mine)).probe()
            gets_a_key(console, mine)
        ticked(page, "came")
        ticked(page, "known", "trouble")
        watched.check()
        page.click("text=Look at it, and trust it")
        page.wait_for_selector("text=Whoever knocked first")
        assert page.locator("#instance option:checked").inner_text() == "prod"
        watched.check()
        page.click("main button.first")
        page.wait_for_url(lambda url: "/connect/" in url and url.endswith("done=seen-trusted"))
        report = VCenter(address(console), context_of(console, mine)).play(1, 1)
        assert report.ok, report
        for step in ("came", "known", "asked", "made", "fetched"):
            ticked(page, step)
        assert "This vCenter is connected" in page.inner_text("#ticks")
        watched.check()


def test_handshakes_that_are_refused_are_explained(browser: Browser, console: Console) -> None:
    """No certificate, and a client that does not trust the server; in the dark, on a phone."""
    with as_somebody(browser, console, "mara", theme="dark", viewport=SMALL) as (watched, page):
        watched.go("/connect/prod?way=pair")
        for context in (
            client_context(None, [console.web.deployment.authority.pem]),
            client_context(client(), [authority("another").pem]),
        ):
            with pytest.raises(REFUSED), Client(address(console), context) as asking:
                Writer(asking, "prod", "none").create()
        page.wait_for_selector("[data-refusal=no-certificate]", timeout=6000)
        page.wait_for_selector("[data-refusal=turned-away]", timeout=6000)
        watched.check()
        assert page.evaluate("document.documentElement.scrollWidth") <= SMALL["width"]


def test_a_certificate_is_replaced_without_a_gap(browser: Browser, console: Console) -> None:
    """The page sees the new one used by itself, and offers the old one to be removed."""
    old, new = client(name="old"), client(name="new")
    pinned(console, old)
    time.sleep(1.1)  # "added" is kept in whole seconds
    pinned(console, new)
    with as_somebody(browser, console, "mara") as (watched, page):
        watched.go("/instances/prod/certificates/replace")
        page.wait_for_selector("text=nobody has used it yet")
        watched.check()
        gets_a_key(console, new)
        page.wait_for_selector("text=The new certificate is in use", timeout=5000)
        assert page.locator("#standing a:has-text('Remove it')").count() >= 1
