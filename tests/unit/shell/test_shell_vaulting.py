"""The vault that the configuration describes: its integrity root and its terms, and what is refused as a root."""

from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.errors import CryptographicFailure
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.service.office.administration import Administrator
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.office import open_key_managers, open_office
from keyrack.shell.vaulting import integrity_root, terms_of

INSTANCE = "6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"
KEY_PROTECT = f"""
[key_managers.kp]
type = "key_protect"
url = "https://127.0.0.1:9"
instance = "{INSTANCE}"
iam = {{ api_key_file = "ibm.key", url = "https://127.0.0.1:9" }}
"""
EMBEDDED = '[key_managers.here]\ntype = "embedded"\nunlock = { key_file = "keystore.key" }\n'
ROOT = b"an integrity root of 32 bytes!!!"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A deployment's files, with both kinds of key managers; nobody answers for the one at IBM."""
    KeyFile(tmp_path / "keystore.key").create()
    EmbeddedKeyManager.create(tmp_path / "keystore", KeyFile(tmp_path / "keystore.key")).house.close()
    SqliteCatalog.create(tmp_path / "catalog.db")
    for name, content in (("ibm.key", b"api key"), ("integrity.key", ROOT)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def configured(place: Path, *tables: str) -> Config:
    """The configuration with these tables."""
    (place / "keyrack.toml").write_text("\n".join(('[deployment]\nid = "k-1"', *tables)))
    return load(place / "keyrack.toml", {})


async def root_of(config: Config) -> bytes:
    """The integrity root."""
    managers = open_key_managers(config)
    try:
        with integrity_root(config, managers) as root:
            return bytes(root.reveal())
    finally:
        await managers.close()


async def test_a_deployment_at_ibm_has_its_integrity_root_in_a_file(place: Path) -> None:
    """No key manager of IBM's gives one."""
    config = configured(place, KEY_PROTECT, '[integrity]\nkey_file = "integrity.key"')

    assert await root_of(config) == ROOT


async def test_an_embedded_key_manager_gives_the_root_as_it_always_did(place: Path) -> None:
    """Wherever it stands among the others; a table in the configuration outdoes it."""
    before = await root_of(configured(place, EMBEDDED))

    assert before == await root_of(configured(place, KEY_PROTECT, EMBEDDED))
    assert await root_of(configured(place, EMBEDDED, '[integrity]\nkey_file = "integrity.key"')) == ROOT != before


async def test_a_systemd_credential_may_be_the_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a keystore."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    (place / "integrity.key").chmod(0o440)

    assert await root_of(configured(place, KEY_PROTECT, '[integrity]\ncredential = "integrity.key"')) == ROOT


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (None, 0, "there is no key file"),
        (ROOT, 0o644, "is open to other users: chmod 600"),
        (ROOT[:-1], 0o600, "does not hold exactly 32 bytes"),
        (ROOT + b"\n", 0o600, "does not hold exactly 32 bytes"),
    ],
    ids=["missing", "open to others", "short", "with a line's end"],
)
async def test_a_root_that_cannot_be_used_keeps_the_office_closed(
    place: Path, content: bytes | None, mode: int, told: str
) -> None:
    """Whatever would be sealed with another root could not be verified later. It says where and what to do."""
    file = place / "integrity.key"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    config = configured(place, KEY_PROTECT, '[integrity]\nkey_file = "integrity.key"')

    with pytest.raises(
        ConfigError, match=r"integrity\.key_file: it cannot be used: .*put it back from its backup"
    ) as caught:
        async with open_office(config, Administrator("eve"), root_keys=True):
            pass

    assert told in str(caught.value)


async def test_an_ibm_that_is_away_keeps_no_office_closed(place: Path) -> None:
    """Nothing is asked before somebody needs it; the others work meanwhile."""
    config = configured(place, EMBEDDED, KEY_PROTECT)

    async with open_office(config, Administrator("eve"), root_keys=True) as office:
        made = await office.administration.create_instance("prod", key_manager="here")
        kinds = [type(each).__name__ for each in office.key_managers.values()]

    assert (["EmbeddedKeyManager", "KeyProtect"], "here") == (kinds, made.key_manager)


async def test_an_office_without_root_keys_has_no_vault(place: Path) -> None:
    """Whoever needs one opens it with them."""
    async with open_office(configured(place, EMBEDDED), Administrator("eve")) as office:
        with pytest.raises(RuntimeError, match="without root keys"):
            _ = office.vault


async def test_an_offices_vault_is_wiped_when_it_closes(place: Path) -> None:
    """No integrity root stays in memory."""
    async with open_office(configured(place, EMBEDDED), Administrator("eve"), root_keys=True) as office:
        instance = await office.administration.create_instance("prod")
        made = await office.vault.seal_wrapping_key(instance, "wrapping-key", office.now)
        await office.vault.verify(instance, made)

    with pytest.raises(CryptographicFailure):
        await office.vault.verify(instance, made)


def test_each_key_manager_has_terms_of_its_own(place: Path) -> None:
    """In the vault's seconds."""
    lease = "[key_managers.kp.lease]\nlease_seconds = 10\nprobe_timeout_seconds = 2\noutage_grace_seconds = 0\n"

    config = configured(place, EMBEDDED, KEY_PROTECT, lease)

    terms = {name: terms_of(table) for name, table in config.key_managers.items()}
    told = {name: (each.lease, each.probe_timeout, each.outage_grace) for name, each in terms.items()}
    assert {"here": (30, 5, 900), "kp": (10, 2, 0)} == told
