"""The configuration: what is read, what overrides it, and how every mistake is told at once."""

from pathlib import Path

import pytest

from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, find, load

SMALLEST = """
[deployment]
id = "k-1"
[key_managers.embedded]
type = "embedded"
unlock = { key_file = "keystore.key" }
"""

HSM = """
[key_managers.embedded.hsm]
library = "/usr/lib/softhsm/libsofthsm2.so"
token = "keyrack"
pin_file = "hsm.pin"
"""


def opened_by(unlock: str) -> str:
    """The smallest configuration with another way to open the keystore."""
    return SMALLEST.replace('key_file = "keystore.key"', unlock)


def written(directory: Path, text: str) -> Path:
    """A configuration file with this text."""
    path = directory / "keyrack.toml"
    path.write_text(text)
    return path


def mistakes(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """The lines in which a configuration's mistakes are told."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return str(caught.value).splitlines()


def test_the_smallest_configuration_is_two_tables(tmp_path: Path) -> None:
    """All else has a default: KMIP's port, a catalog and a keystore beside the file."""
    config = load(written(tmp_path, SMALLEST), {})

    assert (config.kmip.port, config.catalog_path) == (5696, tmp_path / "catalog.db")
    assert config.path(config.embedded["embedded"].keystore) == tmp_path / "keystore"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """Two underscores lead into a table, and the value is read as the key's own type."""
    environ = {"KEYRACK_KMIP__PORT": "5697", "KEYRACK_KMIP__LIMITS__BATCH_ITEMS": "7", "KEYRACK_LOG__LEVEL": "debug"}

    config = load(written(tmp_path, SMALLEST), environ)

    assert (config.kmip.port, config.kmip.limits.batch_items, config.log.level) == (5697, 7, "debug")


def test_other_variables_of_the_same_beginning_are_left_alone(tmp_path: Path) -> None:
    """A passphrase in the environment is no key of the configuration."""
    environ = {"KEYRACK_PASSPHRASE": "correct horse battery", "KEYRACK_CONFIG": "elsewhere.toml"}

    assert isinstance(load(written(tmp_path, SMALLEST), environ), Config)


def test_all_mistakes_are_told_at_once_a_line_each(tmp_path: Path) -> None:
    """Each line says where, what, why, and what to write instead."""
    text = (
        SMALLEST.replace('id = "k-1"', 'id = "My Server"')
        + "[kmip]\nport = 70000\nhosts = 'x'\n[log]\nlevel = 'loud'\n"
    )
    path = written(tmp_path, text)

    told = mistakes(path)

    assert told == [
        f"{path}: deployment.id: 'My Server' cannot be used: it has other characters than lower-case letters, digits "
        'and hyphens; write for example id = "keyrack-1"',
        f"{path}: kmip.port: 70000 cannot be used: it is more than 65535; write a port from 1 to 65535, for example "
        "port = 5696",
        f"{path}: kmip.hosts: unknown key: no setting has this name; write 'host'",
        f"{path}: log.level: 'loud' cannot be used: it is not 'debug', 'info', 'warning' or 'error'; write one of "
        '"debug", "info", "warning", "error"',
    ]


def test_a_mistake_in_the_environment_is_told_by_the_variable(tmp_path: Path) -> None:
    """Whoever set it has to find it again; a mistyped table is found as well."""
    path = written(tmp_path, SMALLEST)

    told = mistakes(path, {"KEYRACK_KMIP__PORT": "many", "KEYRACK_KMPI__HOST": "x"})

    assert told == [
        "KEYRACK_KMIP__PORT (environment): 'many' cannot be used: it is not a whole number; write a port from 1 to "
        "65535, for example port = 5696",
        "KEYRACK_KMPI__HOST (environment): unknown key: no setting has this name; write 'kmip'",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "deployment: missing: it is needed and has no default"),
        ('[deployment]\nid = "k"\n[key_managers]\n', "key_managers: cannot be used: there is none"),
        (SMALLEST.replace('{ key_file = "keystore.key" }', "{}"), "it names no way to open the keystore"),
        (SMALLEST.replace('"keystore.key"', '"a", passphrase_file = "b"'), "it names 2 ways to open the keystore"),
        (SMALLEST.replace('type = "embedded"', 'type = "hsm"'), "'hsm' cannot be used: it is not 'embedded'"),
        (SMALLEST + '[catalog]\nurl = "postgresql://x"\n', "it names no database"),
        (SMALLEST + '[kmip]\nhost = "*"\n', "it is neither an address nor a host name"),
        (
            SMALLEST + "[kmip.limits]\nmessage_bytes = 3\n",
            "it is less than 1024; write for example message_bytes = 65536",
        ),
        ("kmip = 3\n" + SMALLEST, "kmip: 3 cannot be used: it is not a table"),
        (opened_by("unseal = false"), "it names no way to open the keystore"),
        (opened_by("unseal = true, hsm = true"), "it names 2 ways to open the keystore"),
        (opened_by('credential = "../key"'), 'write a name as in LoadCredential=, for example "keystore.key"'),
        (
            opened_by("hsm = true"),
            "key_managers.embedded: cannot be used: unlock says hsm = true, and there is no table hsm that tells "
            "which; write a table [key_managers.NAME.hsm] with library, token and pin_file",
        ),
        (SMALLEST + '[key_managers.embedded.hsm]\nlibrary = "x.so"\ntoken = "t"\n', "exactly one of pin_file and"),
        (
            SMALLEST + HSM + 'pin_credential = "pin"\n',
            "exactly one of pin_file and pin_credential says where the PIN is",
        ),
        (SMALLEST + HSM + "timeout_seconds = 0\n", "it is at most 0.0; write for example timeout_seconds = 5"),
        (SMALLEST + HSM + "tokens = 2\n", "key_managers.embedded.hsm.tokens: unknown key: no setting has this name"),
        (SMALLEST + "[key_managers.embedded.waits]\nrotate_seconds = -1\n", "write for example rotate_seconds = 3600"),
        (SMALLEST + "[key_managers.embedded.waits]\npurge_days = 3\n", "keys would be purged (purge_days) before"),
        (SMALLEST + '[key_manager_api]\nnetwork = "lan"\n', "it is not 'private' or 'public'; write \"private\" or"),
        (SMALLEST + "[key_manager_api]\nport = 70000\n", "for example port = 8444"),
    ],
    ids=[
        "empty",
        "no key manager",
        "no unlock",
        "two unlocks",
        "kind",
        "catalog",
        "host",
        "limit",
        "no table",
        "not unsealed",
        "unsealed by an HSM",
        "credential elsewhere",
        "no HSM",
        "no PIN",
        "two PINs",
        "no time",
        "unknown of an HSM",
        "wait",
        "purged too early",
        "network",
        "port of the API",
    ],
)
def test_what_cannot_be_used_is_told_with_what_can(tmp_path: Path, text: str, told: str) -> None:
    """A mistake of each kind."""
    assert told in "\n".join(mistakes(written(tmp_path, text)))


def test_everything_of_a_key_manager_has_its_key(tmp_path: Path) -> None:
    """HSM, waits and the face, each with Key Protect's defaults; a variable turns a way to unlock on."""
    text = opened_by("hsm = true") + HSM + "[key_managers.embedded.waits]\nstate_change_seconds = 0\n"

    config = load(written(tmp_path, text), {"KEYRACK_KEY_MANAGER_API__ENABLED": "true"})

    table = config.embedded["embedded"]
    assert table.hsm is not None
    assert (table.unlock.hsm, table.hsm.token, table.hsm.timeout_seconds) == (True, "keyrack", 5)
    waits = table.waits.model_dump()
    assert list(waits.values()) == [0, 3600, 14_400, 30, 90]
    api = config.key_manager_api
    assert (api.enabled, api.host, api.port, api.network) == (True, "127.0.0.1", 8444, "private")
    assert (api.certificate, api.key) == (config.kmip.certificate, config.kmip.key)


def test_a_file_that_is_not_toml_is_told_with_the_place(tmp_path: Path) -> None:
    """Line and column, as an editor shows them."""
    path = written(tmp_path, '[kmip]\nport = "x\n')

    assert mistakes(path)[0].startswith(f"{path}:2:10: it is not TOML: ")


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """A keystore given as the configuration, for example."""
    path = tmp_path / "keyrack.toml"
    path.write_bytes(b"\xff\xfe")

    assert mistakes(path) == [f"{path}: it is not text: byte 0 is not UTF-8; save it as UTF-8"]


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    """One line, and what to do."""
    told = mistakes(tmp_path / "none.toml")

    assert told == [
        f"{tmp_path}/none.toml: it cannot be read: no such file or directory; make one with 'keyrack init', or in a "
        "browser with 'keyrack setup'; or name another with --config FILE"
    ]


def test_the_configuration_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's first, then the working directory's, then the user's."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / ".config/keyrack/keyrack.toml"
    mine.parent.mkdir(parents=True)
    mine.touch()
    home = {"HOME": str(tmp_path)}

    before = find(None, home)
    (tmp_path / "keyrack.toml").touch()
    after = find(None, home)

    assert (before, after) == (mine, Path("keyrack.toml"))
    assert find(None, {**home, "KEYRACK_CONFIG": "/named.toml"}) == Path("/named.toml")
    assert find(Path("given.toml"), home) == Path("given.toml")


def test_no_configuration_at_all_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to make one."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(
        ConfigError,
        match=r"looked for keyrack\.toml, .*make one with 'keyrack init', or in a browser with 'keyrack setup'",
    ):
        find(None, {"HOME": str(tmp_path)})
