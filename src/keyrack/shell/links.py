"""One-time links as people get them: the token stands behind a ``#``, which no browser sends and no server logs."""

import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.extensions import ExtensionNotFound

from keyrack.shell.config.whole import WEB_ADDRESS_FILE, Config

EVERY: Final = frozenset({"0.0.0.0", "::"})
"""What a server listens on that has no address of its own to be told."""


def set_password_link(config: Config, token: str) -> str:
    """The page of the administration API on which whoever has the token sets a password."""
    return f"https://{api_name(config)}/set-password#{token}"


def log_in_link(config: Config, token: str) -> str:
    """The page of the console that logs whoever has the token in, once."""
    return f"https://{api_name(config)}/log-in/link#{token}"


def api_name(config: Config) -> str:
    """Host and port by which the administration API is called: a configured name, else the address it listens on; where
    that is every address, the first name in its certificate."""
    api = config.api
    host = next(iter(api.hosts), None)
    if host is None and api.host in EVERY:
        host = _certified(config.path(api.certificate or config.kmip.certificate))
    return _with_port(host or api.host, _taken(config) or api.port)


def _taken(config: Config) -> int:
    """The port that a running API has taken; 0 where none runs."""
    try:
        told = (config.run_directory / WEB_ADDRESS_FILE).read_text(encoding="ascii").strip()
        return int(told.rpartition(":")[2])
    except (OSError, ValueError):
        return 0


def _with_port(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port == 443 else f"{shown}:{port}"


def _certified(certificate: Path) -> str | None:
    """The first name that a certificate is for; a name goes before an address."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, ExtensionNotFound):
        return None
    hosts = [each for each in names.get_values_for_type(x509.DNSName) if each != "localhost"]
    addresses = [each for each in names.get_values_for_type(x509.IPAddress) if not _is_loopback(each)]
    return next(iter((*hosts, *map(str, addresses))), None)


def _is_loopback(address: object) -> bool:
    return isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address) and address.is_loopback
