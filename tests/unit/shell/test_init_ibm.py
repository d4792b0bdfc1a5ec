"""What ``keyrack init`` writes for a key manager of IBM's, by the options."""

import tomllib
from pathlib import Path

import pytest

from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.init_ibm import IbmOptions, chosen_ibm
from keyrack.shell.config.problems import ConfigError

INSTANCE = "6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"


def test_every_option_has_its_key(tmp_path: Path) -> None:
    """Paths are absolute, whatever is in them."""
    bundle = tmp_path / 'ca "x".pem'
    bundle.touch()
    options = IbmOptions(
        url="https://kms.example.com:8443",
        kms_instance=INSTANCE,
        key_ring="vmware",
        trusted_profile="Profile-1",
        cr_token_file=Path("/var/run/secrets/tokens/vault-token"),
        iam_url="https://iam.example.com",
        ca_bundle=bundle,
        proxy="http://proxy.example.com:3128",
    )

    tables = tomllib.loads(chosen_ibm("hpcs", tmp_path, options, ask=False).tables)

    assert tables["key_managers"]["ibm"] == {
        "type": "hpcs",
        "url": "https://kms.example.com:8443",
        "instance": INSTANCE,
        "key_ring": "vmware",
        "ca_bundle": str(bundle),
        "proxy": "http://proxy.example.com:3128",
        "iam": {
            "url": "https://iam.example.com",
            "trusted_profile": "Profile-1",
            "cr_token_file": "/var/run/secrets/tokens/vault-token",
        },
    }
    assert tables["integrity"] == {"key_file": "integrity.key"}


@pytest.mark.parametrize("there", [True, False])
def test_an_api_key_is_looked_for_in_the_directory(tmp_path: Path, there: bool) -> None:
    """Where it is missing, the first of the next steps is to write it; a profile needs none."""
    if there:
        (tmp_path / "ibm.key").touch(mode=0o600)
    options = IbmOptions(region="eu-de", kms_instance=INSTANCE)
    profile = IbmOptions(
        region="eu-de", kms_instance=INSTANCE, trusted_profile="Profile-1", cr_token_file=tmp_path / "token"
    )

    choice = chosen_ibm("key-protect", tmp_path, options, ask=False)

    assert (None if there else tmp_path / "ibm.key") == choice.api_key
    assert there is (choice.next_steps("")[0] == "keyrack key-manager check")
    assert chosen_ibm("key-protect", tmp_path, profile, ask=False).api_key is None


def test_what_is_missing_or_contradicts_is_refused(tmp_path: Path) -> None:
    """As the configuration would be when it is loaded."""
    both = IbmOptions(region="eu-de", kms_instance=INSTANCE, api_key_file=tmp_path / "a", token_file=tmp_path / "b")

    with pytest.raises(WrongUse, match="needs --kms-instance UUID"):
        chosen_ibm("key-protect", tmp_path, IbmOptions(region="eu-de"), ask=False)
    with pytest.raises(ConfigError, match=r"ibm\.iam: .* it names api_key_file and token_file to prove who asks"):
        chosen_ibm("key-protect", tmp_path, both, ask=False)


def test_a_ca_bundle_that_is_missing_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    options = IbmOptions(region="eu-de", kms_instance=INSTANCE, ca_bundle=tmp_path / "missing.pem")

    with pytest.raises(WrongUse, match=r"missing\.pem is not there"):
        chosen_ibm("key-protect", tmp_path, options, ask=False)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_an_api_key_that_others_may_read_is_closed_first(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "kp.key"
    file.touch()
    file.chmod(mode)
    options = IbmOptions(region="eu-de", kms_instance=INSTANCE, api_key_file=file)

    first = chosen_ibm("key-protect", tmp_path, options, ask=False).next_steps("")[0]

    assert first.startswith("keyrack key-manager check" if mode == 0o600 else f"chmod 600 {file}")
