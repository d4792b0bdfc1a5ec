"""PyKMIP's client proves itself with username and password, as a vCenter does that has them entered."""

from collections.abc import Callable

import pytest
from kmip.core import enums
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

from keyrack.testing.certificates import client
from keyrack.testing.process import Deployment, Served

BOTH = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def deployment(served: Served) -> Deployment:
    """The server, with an instance beside that of the other tests, whose clients have to prove themselves."""
    if served.deployment is None:
        pytest.skip("another server stands in")
    deployment = served.deployment
    identity = client(deployment.authority, "proving")
    deployment.add_client("proving", identity, create=True)
    identity.write(deployment.directory, "proving-client")
    password = deployment.directory / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    words = ("credential", "set", "proving", "--username", "vSphere", "--password-file", str(password), "--required")
    deployment.run("instance", *words)
    return deployment


@pytest.fixture
def open_as(deployment: Deployment, served: Served) -> Callable[..., ProxyKmipClient]:
    """Makes PyKMIP's client of that instance."""

    def make(username: str | None = None, password: str | None = None) -> ProxyKmipClient:
        return ProxyKmipClient(
            hostname=served.address[0],
            port=served.address[1],
            cert=str(deployment.directory / "proving-client.pem"),
            key=str(deployment.directory / "proving-client.key"),
            ca=str(served.files()[0]),
            kmip_version=enums.KMIPVersion.KMIP_1_4,
            ssl_version="PROTOCOL_TLS",
            username=username,
            password=password,
        )

    return make


def refused(proxy: ProxyKmipClient) -> tuple[enums.ResultReason, str]:
    """What it hears when it makes a key."""
    with proxy, pytest.raises(KmipOperationFailure) as failure:
        proxy.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=BOTH)
    return failure.value.reason, str(failure.value.message)


def test_the_right_one_makes_and_gets_keys(open_as: Callable[..., ProxyKmipClient]) -> None:
    """PyKMIP sends it with each request."""
    with open_as("vSphere", PASSWORD) as proxy:
        uid = proxy.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=BOTH)
        assert len(proxy.get(uid).value) == 32


def test_a_wrong_one_and_none_do_not(open_as: Callable[..., ProxyKmipClient], deployment: Deployment) -> None:
    """Each is told what to correct; nothing of either is in log or journal."""
    reason, told = refused(open_as("vSphere", "correct horse staple"))
    assert (reason, "is not the one" in told) == (enums.ResultReason.AUTHENTICATION_NOT_SUCCESSFUL, True)
    reason, told = refused(open_as("root", PASSWORD))
    assert reason == enums.ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    reason, told = refused(open_as())
    assert (reason, "no username and password came" in told) == (
        enums.ResultReason.AUTHENTICATION_NOT_SUCCESSFUL,
        True,
    )

    kept = deployment.log.read_bytes() + b"".join(
        path.read_bytes() for path in deployment.directory.glob("catalog*") if path.is_file()
    )
    for secret in (PASSWORD, "correct horse staple"):
        assert secret.encode() not in kept
