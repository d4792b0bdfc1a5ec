"""What an administrator enters in vSphere, and compares there: the addresses of this server, and its certificate."""

import contextlib
import ipaddress
import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from keyrack.ports.cluster import Node
from keyrack.service.office.material import UnusableCertificate, certificates_in
from keyrack.shell.config.whole import ADDRESS_FILE, Config
from keyrack.shell.server_pair import Shown, shown

EVERYWHERE = frozenset({"0.0.0.0", "::", ""})
"""Hosts that stand for every address of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server, as it is entered in a key provider."""

    name: str
    host: str
    port: int
    others: Sequence[str] = ()
    """Further names and addresses that its certificate has."""
    alone: bool = False
    """Whether it is reached from its own machine alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """The certificate that the server shows, with what a dialog may show of it."""

    shown: Shown
    sha1: str


def face_of(config: Config) -> Face | None:
    """``None`` where it cannot be read here."""
    with contextlib.suppress(OSError, UnusableCertificate, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaf: x509.Certificate = certificates_in(config.path(config.kmip.certificate).read_bytes())[0]
        return Face(shown=shown(leaf), sha1=leaf.fingerprint(hashes.SHA1()).hex())  # noqa: S303 - to be compared
    return None


def places_of(config: Config, nodes: Sequence[Node], names: Sequence[str]) -> Sequence[Place]:
    """Each node that serves; ``names``: those in this server's certificate."""
    if nodes:
        found = [_split(each.address) for each in nodes]
        return [
            Place(
                name=each.name,
                host=host,
                port=port,
                others=_others(names, host) if each.name == config.deployment.node else (),
                alone=_is_alone(host),
            )
            for each, (host, port) in zip(nodes, found, strict=True)
            if host
        ]
    host, port = _listening(config)
    everywhere = host in EVERYWHERE
    if everywhere:
        host = next((each for each in names if not _is_alone(each)), socket.gethostname())
    alone = not everywhere and _is_alone(host)
    return [Place(name=config.deployment.node, host=host, port=port, others=_others(names, host), alone=alone)]


def _listening(config: Config) -> tuple[str, int]:
    """Where it really listens; where that is not told, where it would."""
    with contextlib.suppress(OSError, ValueError):
        host, port = _split((config.run_directory / ADDRESS_FILE).read_text(encoding="ascii").strip())
        return (config.kmip.host if config.kmip.host in EVERYWHERE else host), port
    return config.kmip.host, config.kmip.port


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def _others(names: Sequence[str], host: str) -> Sequence[str]:
    return [each for each in names if each != host and not _is_alone(each)]


def _is_alone(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
