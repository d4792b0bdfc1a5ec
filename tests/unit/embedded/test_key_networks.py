"""From where an instance may be called: the policies allowedIP and allowedNetwork."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.call import KEYRACK, Call, Caller
from keyrack.embedded.errors import Forbidden
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.policies import check_network, set_instance_policies
from keyrack.testing.key_houses import ADMINISTRATOR, OTHER_INSTANCE, a_call, a_caller, a_house, an_instance
from keyrack.testing.some_keys import journal_of

SUBNETS = ["192.0.2.0/24", "198.51.100.7/32", "10.1.2.3/8", "2001:db8::/32", "::1/128"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, OTHER_INSTANCE)
    yield house
    house.close()


@pytest.fixture
def reader(house: House) -> Caller:
    return a_caller(house, Role.READER)


def allow(house: House, *subnets: str, network: str | None = None) -> None:
    ip: dict[str, Any] = {"allowed_ip": list(subnets)} if subnets else {}
    wanted = {PolicyType.ALLOWED_IP: (bool(subnets), ip)}
    if network is not None:
        wanted[PolicyType.ALLOWED_NETWORK] = (True, {"allowed_network": network})
    set_instance_policies(house, a_call(), wanted)


def let_in(house: House, call: Call) -> bool:
    with house.reading() as reading:
        try:
            check_network(reading, call)
        except Forbidden:
            return False
    return True


def test_a_network_that_is_kept_out_gets_403(house: House, reader: Caller) -> None:
    """Where a missing right gets 401."""
    allow(house, "192.0.2.0/24")
    with house.reading() as reading, pytest.raises(Forbidden) as met:
        check_network(reading, replace(a_call(reader), address="203.0.113.1"))
    assert (403, "FORBIDDEN_ERR") == (met.value.status, met.value.code)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.0",
        "192.0.2.255",
        "192.0.2.1:50123",
        "198.51.100.7",
        "10.255.0.1",
        "2001:db8:ffff::1",
        "[2001:db8::1]:443",
        "[2001:db8::1]",
        "::ffff:192.0.2.9",
        "[::ffff:192.0.2.9]:443",
        "::1",
    ],
)
def test_an_address_of_a_subnet_is_let_in(house: House, reader: Caller, address: str) -> None:
    """IPv4 and IPv6, with and without a port, also where a socket maps one into the other."""
    allow(house, *SUBNETS)
    assert let_in(house, replace(a_call(reader), address=address))


@pytest.mark.parametrize(
    "address",
    [
        "192.0.3.0",
        "198.51.100.8",
        "11.0.0.1",
        "2001:db9::1",
        "::ffff:192.0.3.1",
        "127.0.0.1",
        "",
        "local",
        "unix:",
        "192.0.2.1.evil",
        "192.0.2.1, 203.0.113.5",
        "0xc0000201",
        "192.0.2.01",
    ],
)
def test_every_other_address_is_kept_out(house: House, reader: Caller, address: str) -> None:
    """The loopback as well, unless it is listed: a proxy on this machine calls from there for everybody."""
    allow(house, *SUBNETS)
    assert not let_in(house, replace(a_call(reader), address=address))


def test_whoever_works_at_the_machine_and_keyrack_itself_are_always_let_in(house: House) -> None:
    """So that a policy that keeps everybody out can be corrected."""
    allow(house, "192.0.2.0/24", network="private-only")
    for caller in (ADMINISTRATOR, KEYRACK):
        assert let_in(house, replace(a_call(caller), private=False))


def test_a_public_network_is_kept_out_where_only_private_ones_are_allowed(house: House, reader: Caller) -> None:
    """Both policies count together."""
    inside = replace(a_call(reader), address="192.0.2.1")
    outside = replace(inside, address="203.0.113.1")
    allow(house, network="private-only")
    assert [True, False] == [let_in(house, replace(outside, private=private)) for private in (True, False)]
    allow(house, "192.0.2.0/24", network="private-only")
    calls = [replace(each, private=private) for each in (inside, outside) for private in (True, False)]
    assert [True, False, False, False] == [let_in(house, call) for call in calls]
    allow(house, "192.0.2.0/24", network="public-and-private")
    assert [True, True, False, False] == [let_in(house, call) for call in calls]


def test_a_policy_that_is_off_and_one_of_another_instance_keep_nobody_out(house: House) -> None:
    """Each instance has its own."""
    caller = a_caller(house, Role.READER, instance=None)
    allow(house, "192.0.2.0/24")
    there = replace(a_call(caller, instance=OTHER_INSTANCE), address="203.0.113.1")
    assert let_in(house, there)
    assert not let_in(house, replace(there, instance=a_call().instance))
    allow(house)
    assert let_in(house, replace(there, instance=a_call().instance))


def test_one_who_locks_himself_out_is_told_so(house: House) -> None:
    """It is done all the same, as Key Protect does it; the answer and the journal say it."""
    manager = replace(a_call(a_caller(house, Role.MANAGER)), address="203.0.113.1")
    wanted = {PolicyType.ALLOWED_IP: (True, {"allowed_ip": ["192.0.2.0/24"]})}
    for call, locked in ((manager, True), (replace(manager, address="192.0.2.1"), False), (a_call(), False)):
        assert locked is set_instance_policies(house, call, wanted).locks_out
    assert ["true", "false", "false"] == [each["detail"]["locksOut"] for each in journal_of(house)]
    assert not let_in(house, manager)
