"""PyKMIP's clients, opened against the running server in each version of the protocol."""

import ssl
from collections.abc import Callable, Iterator

import pytest
from kmip.core.enums import KMIPVersion
from kmip.pie.client import ProxyKmipClient
from kmip.services.kmip_client import KMIPProxy

from keyrack.testing.process import Served

VERSIONS = [
    KMIPVersion.KMIP_1_0,
    KMIPVersion.KMIP_1_1,
    KMIPVersion.KMIP_1_2,
    KMIPVersion.KMIP_1_3,
    KMIPVersion.KMIP_1_4,
]


@pytest.fixture(params=VERSIONS, ids=[version.name for version in VERSIONS])
def version(request: pytest.FixtureRequest) -> KMIPVersion:
    """Each version that Keyrack speaks."""
    chosen: KMIPVersion = request.param
    return chosen


@pytest.fixture
def open_proxy(served: Served) -> Callable[..., ProxyKmipClient]:
    """Makes PyKMIP's high-level client, not yet open, with its own keyword arguments added."""
    authority, certificate, key = served.files()
    newest = "PROTOCOL_TLSv1_2" if served.deployment is None else "PROTOCOL_TLS"

    def make(version: KMIPVersion = KMIPVersion.KMIP_1_4, **options: str) -> ProxyKmipClient:
        return ProxyKmipClient(
            hostname=served.address[0],
            port=served.address[1],
            cert=str(certificate),
            key=str(key),
            ca=str(authority),
            kmip_version=version,
            **{"ssl_version": newest, **options},
        )

    return make


@pytest.fixture
def proxy(open_proxy: Callable[..., ProxyKmipClient], version: KMIPVersion) -> Iterator[ProxyKmipClient]:
    """PyKMIP's high-level client, connected."""
    with open_proxy(version) as client:
        yield client


@pytest.fixture
def low(served: Served, version: KMIPVersion) -> Iterator[KMIPProxy]:
    """PyKMIP's low-level client, connected."""
    authority, certificate, key = served.files()
    client = KMIPProxy(
        host=served.address[0],
        port=served.address[1],
        certfile=str(certificate),
        keyfile=str(key),
        ca_certs=str(authority),
        cert_reqs="CERT_REQUIRED",
        ssl_version="PROTOCOL_TLSv1_2",
        kmip_version=version,
    )
    client.open()
    try:
        assert ssl.TLSVersion.TLSv1_2.name == client.socket.version().replace(".", "_")
        yield client
    finally:
        client.close()
