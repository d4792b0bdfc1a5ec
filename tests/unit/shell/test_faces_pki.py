"""The deployment's own authority: what its certificates say, and who may read its keys."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from keyrack.shell import pki

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> pki.Pair:
    """An authority."""
    return pki.make_authority("tests", now=NOW, key=pki.make_key("ec-p256"))


@pytest.fixture(scope="module")
def server(authority: pki.Pair) -> pki.Pair:
    """A server's pair for a name and two addresses."""
    names = ("kms.example.com", "192.0.2.1", "2001:db8::1")
    return pki.issue_server(authority, names, now=NOW, key=pki.make_key("rsa-2048"))


def test_the_server_certificate_names_hosts_and_addresses(server: pki.Pair) -> None:
    """An address is an address there, not a name that looks like one."""
    names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["kms.example.com"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
    ]


def test_the_server_certificate_is_rsa_2048_and_lives_ten_years(server: pki.Pair) -> None:
    """vCenter pins it: renewing it means work for an administrator."""
    assert isinstance(server.key, rsa.RSAPrivateKey)
    assert server.key.key_size == 2048
    assert server.certificate.not_valid_after_utc == NOW + timedelta(days=3650)
    assert server.certificate.not_valid_before_utc < NOW


def test_each_certificate_is_for_its_one_purpose(authority: pki.Pair, server: pki.Pair) -> None:
    """A server's, a client's, and neither may sign."""
    client = pki.issue_client(authority, "c", now=NOW, key=pki.make_key("ec-p256"))

    purposes = [
        list(pair.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for pair in (server, client)
    ]

    assert purposes == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
    for pair in (server, client):
        pair.certificate.verify_directly_issued_by(authority.certificate)
        assert not pair.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_key_is_written_for_its_owner_alone_and_over_nothing(authority: pki.Pair, tmp_path: Path) -> None:
    """A second writing is refused, and the first one stays."""
    authority.write(tmp_path / "ca.pem", tmp_path / "ca.key")

    with pytest.raises(FileExistsError):
        authority.write(tmp_path / "other.pem", tmp_path / "ca.key")

    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert pki.read_authority(tmp_path / "ca.pem", tmp_path / "ca.key").fingerprint == authority.fingerprint
    assert not (tmp_path / "other.pem").exists()


def test_a_fingerprint_is_shown_as_vcenter_shows_it() -> None:
    """Upper case, colons between."""
    assert pki.spaced("0aff10") == "0A:FF:10"
