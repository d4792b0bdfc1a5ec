"""Requests that two readers may read differently: what a proxy has let through must be what is done."""

import socket
from collections.abc import Iterator

import pytest

from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.testing.key_houses import a_house
from keyrack.testing.key_protect import Address, User, key_protect, new_user

ANOTHER = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def user(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with key_protect(house, tmp_path_factory.mktemp("api")) as served:
        yield new_user(served, house, Role.MANAGER)


def answered(address: Address, text: str) -> bytes:
    """All that comes back until the server closes, or has nothing more to say for a while."""
    came = bytearray()
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        address.context.wrap_socket(plain, server_hostname=address.host) as tls,
    ):
        tls.sendall(text.encode())
        tls.settimeout(1)
        try:
            while octets := tls.recv(65_536):
                came += octets
        except TimeoutError:
            came += b"<still open>"
    return bytes(came)


def head(user: User, *more: str) -> str:
    return "\r\n".join(
        ["Host: h", f"Authorization: Bearer {user.token}", f"Bluemix-Instance: {user.instance}", *more, "", ""]
    )


@pytest.mark.parametrize("twice", ["Authorization: Bearer x", "bluemix-instance: 5f3a9d20-8f5b-4a57-a7c4-61d0f2b3c4d5"])
def test_who_asks_and_for_what_is_said_once(user: User, twice: str) -> None:
    came = answered(user.address, "GET /api/v2/keys HTTP/1.1\r\n" + head(user, twice))

    assert came.startswith(b"HTTP/1.1 400 ")
    assert b"more than once" in came


def test_a_key_ring_is_named_once(user: User) -> None:
    rings = ("X-Kms-Key-Ring: default", "X-Kms-Key-Ring: other")

    assert answered(user.address, "GET /api/v2/keys HTTP/1.1\r\n" + head(user, *rings)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "lengths",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
    ],
)
def test_two_lengths_of_a_body_end_the_connection(user: User, lengths: tuple[str, str]) -> None:
    """RFC 9112, 6.3: what follows may be what somebody has smuggled past a proxy."""
    request = "POST /api/v2/keys HTTP/1.1\r\n" + head(user, *lengths) + "0\r\n\r\n" + ANOTHER

    came = answered(user.address, request)

    assert came.startswith(b"HTTP/1.1 400 ")
    assert came.count(b"HTTP/1.1") == 1
    assert not came.endswith(b"<still open>")


def test_requests_that_are_whole_may_follow_each_other(user: User) -> None:
    request = "POST /api/v2/keys HTTP/1.1\r\n" + head(user, "Transfer-Encoding: chunked") + "0\r\n\r\n" + ANOTHER

    assert answered(user.address, request).count(b"HTTP/1.1 ") == 2
