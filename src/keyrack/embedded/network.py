"""From where a key manager instance may be called: the policies allowedNetwork and allowedIP."""

import ipaddress
from functools import lru_cache

from keyrack.embedded.call import Call
from keyrack.embedded.errors import Forbidden
from keyrack.embedded.instances import KeyManagerInstance, PolicyType
from keyrack.embedded.store.reading import Reading

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_network(reading: Reading, call: Call) -> None:
    """Return when the instance's policies let a request in from where it comes; raises :class:`Forbidden`.

    They do not concern whoever works at the machine, nor Keyrack itself. They do concern a request over the loopback:
    behind a proxy on this machine, every request is one.
    """
    if call.caller.service_id is not None and not is_let_in(reading.instance(call.instance), call):
        raise Forbidden(
            "The network policies of this instance do not let this request in: ask its manager which networks they "
            "allow, or correct them at the machine with 'keyrack'"
        )


def is_let_in(instance: KeyManagerInstance, call: Call) -> bool:
    """Whether the policies let in what comes from the address and the network of this call."""
    network = instance.enabled(PolicyType.ALLOWED_NETWORK)
    if network is not None and network.attributes.get("allowed_network") == "private-only" and not call.private:
        return False
    allowed = instance.enabled(PolicyType.ALLOWED_IP)
    if allowed is None:
        return True
    listed = allowed.attributes.get("allowed_ip")
    address = _address(call.address)
    # What cannot be read is not let in.
    return isinstance(listed, list) and address is not None and any(_is_in(address, each) for each in listed)


def _is_in(address: Address, subnet: str) -> bool:
    network = _network(subnet)
    return address.version == network.version and address in network


@lru_cache(maxsize=16_384)
def _network(subnet: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(subnet, strict=False)


def _address(text: str) -> Address | None:
    """The address of ``192.0.2.1``, ``192.0.2.1:443``, ``2001:db8::1`` or ``[2001:db8::1]:443``."""
    host = text.partition("]")[0][1:] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # A socket for both families tells an IPv4 client by its mapped address.
    return getattr(address, "ipv4_mapped", None) or address
