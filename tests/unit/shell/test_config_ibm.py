"""The tables of IBM's key managers: what they become, and what is refused before anything is asked or written."""

from pathlib import Path

import pytest

from keyrack.adapters.key_managers.ibm.settings import ApiKey, TokenFile, TrustedProfile
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.ibm import settings_of

INSTANCE = "6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"
HEAD = '[deployment]\nid = "k-1"\n[integrity]\nkey_file = "integrity.key"\n'
KEY_PROTECT = f"""
[key_managers.kp]
type = "key_protect"
region = "eu-de"
instance = "{INSTANCE}"
[key_managers.kp.iam]
api_key_file = "ibm.key"
"""
EMBEDDED = '[key_managers.here]\ntype = "embedded"\nunlock = { key_file = "keystore.key" }\n'
API_KEY = "Zq" * 22


def loaded(directory: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    """The configuration of this text."""
    path = directory / "keyrack.toml"
    path.write_text(text)
    return load(path, environ or {})


def mistakes(directory: Path, text: str) -> str:
    """What is told of a configuration that cannot be used, without the path of its file."""
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text)
    return str(caught.value).replace(f"{directory}/keyrack.toml: ", "")


def written(directory: Path, name: str, content: bytes = b"secret\n", mode: int = 0o600) -> Path:
    """A file of the deployment."""
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def with_place(place: str, kind: str = "key_protect") -> str:
    """A configuration whose instance is somewhere else."""
    return HEAD + KEY_PROTECT.replace('region = "eu-de"', place).replace('"key_protect"', f'"{kind}"')


def with_iam(lines: str) -> str:
    """A configuration in which somebody else asks."""
    return HEAD + KEY_PROTECT.replace('api_key_file = "ibm.key"', lines)


@pytest.mark.parametrize(
    ("place", "kind", "address", "iam"),
    [
        ('region = "eu-de"', "key_protect", "https://private.eu-de.kms.cloud.ibm.com", "private."),
        ('region = "eu-de"\nnetwork = "public"', "key_protect", "https://eu-de.kms.cloud.ibm.com", ""),
        (
            'url = "https://private.eu-de.kms.cloud.ibm.com/"',
            "key_protect",
            "https://private.eu-de.kms.cloud.ibm.com",
            "private.",
        ),
        ('url = "https://kms.example.com:8443"', "key_protect", "https://kms.example.com:8443", ""),
        ('url = "https://[fd00::1]:8443"', "key_protect", "https://[fd00::1]:8443", ""),
        ('region = "us-east"', "hpcs", f"https://{INSTANCE}.api.private.us-east.hs-crypto.appdomain.cloud", "private."),
        (
            'url = "https://api.eu-de.hs-crypto.cloud.ibm.com:9730"',
            "hpcs",
            "https://api.eu-de.hs-crypto.cloud.ibm.com:9730",
            "",
        ),
    ],
)
def test_region_or_url_say_where_the_instance_is(tmp_path: Path, place: str, kind: str, address: str, iam: str) -> None:
    """And which IAM is asked: the private network's where the instance is reached by it."""
    table = loaded(tmp_path, with_place(place, kind)).of_ibm["kp"]

    assert (address, f"https://{iam}iam.cloud.ibm.com") == (table.address, table.iam_address(table.iam))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            with_place('region = "eu-dd"'),
            "key_managers.kp.region: 'eu-dd' cannot be used: it is none of the regions of Key Protect; write one of "
            "us-south, us-east, ca-tor, ca-mon, br-sao, eu-gb, eu-de, eu-es, au-syd, jp-tok, jp-osa, in-che, in-mum; "
            'or url = "https://…" for a region that is newer than this list',
        ),
        (
            with_place('region = "in-che"', "hpcs"),
            "'in-che' cannot be used: it is none of the regions of Hyper Protect",
        ),
        (
            with_place(""),
            "key_managers.kp: cannot be used: it does not say where the instance is: neither region nor url; write "
            'region = "eu-de", or url = "https://…" as the instance\'s details in the console show it',
        ),
        (with_place('region = "eu-de"\nurl = "https://a.b"'), "by both region and url, and exactly one is needed"),
        (with_place('url = "https://a.b"\nnetwork = "public"'), "leave network out, or write region in the place of"),
        (
            with_place('url = "http://private.eu-de.kms.cloud.ibm.com"'),
            "key_managers.kp.url: 'http://private.eu-de.kms.cloud.ibm.com' cannot be used: http does not hide API keys "
            "and tokens; IBM's endpoints speak https alone; write for example url = ",
        ),
        (
            with_place('url = "https://a.b:8443/api/v2"'),
            'paths such as /api/v2 are added here; write "https://a.b:8443"',
        ),
        (with_place('url = "https://a.b:99999"'), "it is not an address"),
        (with_place('url = "https://x.hs-crypto.appdomain.cloud"'), 'Crypto Services; write type = "hpcs", or another'),
        (
            with_place('url = "https://eu-de.kms.cloud.ibm.com"', "hpcs"),
            'it is an address of Key Protect; write type = "key_protect", or another url',
        ),
        (with_place('region = "eu-de"\nnetwork = "vpe"'), "it is not 'private' or 'public'"),
        (
            HEAD + KEY_PROTECT.replace(INSTANCE, f"crn:v1:bluemix:public:kms:eu-de:a/0123456789abcdef:{INSTANCE}::"),
            f'it is a whole CRN, and the instance\'s ID is one part of it; write instance = "{INSTANCE}"',
        ),
        (
            HEAD + KEY_PROTECT.replace(INSTANCE, "my-instance"),
            "key_managers.kp.instance: 'my-instance' cannot be used: it is not a UUID; write the instance's ID, which "
            "IBM also calls GUID: 'ibmcloud resource service-instance NAME' prints it",
        ),
        (with_place('region = "eu-de"\nkey_ring = "a b"'), "it is not the ID of a key ring: 2 to 100 letters, digits"),
        (with_place('region = "eu-de"\nproxy = "https://p:3128"'), "it is not the address of an HTTP proxy"),
        (with_place('region = "eu-de"\nproxy = "http://proxy"'), "a proxy is a host and a port, and nothing else"),
        (with_place('region = "eu-de"\nconnections = 0'), "key_managers.kp.connections: 0 cannot be used: it is less"),
        (
            with_place('region = "eu-de"\nregoin = 1'),
            "key_managers.kp.regoin: unknown key: no setting has this name; write",
        ),
        (
            with_iam(""),
            "key_managers.kp.iam: cannot be used: it names no way to prove who asks, and exactly one is needed; write "
            'for example api_key_file = "ibm.key", the API key of a service ID',
        ),
        (
            with_iam('api_key_file = "a"\ntoken_file = "b"'),
            "it names api_key_file and token_file to prove who asks, and",
        ),
        (with_iam('trusted_profile = "Profile-1"'), "trusted_profile and cr_token_file go together"),
        (with_iam('api_key_file = "a"\ncr_token_file = "b"'), "trusted_profile and cr_token_file go together"),
        (
            with_iam('api_key = "x"'),
            "key_managers.kp.iam.api_key: unknown key: no setting has this name; write 'api_key_f",
        ),
        (
            with_iam('api_key_file = "a"\nurl = "http://iam"'),
            "key_managers.kp.iam.url: 'http://iam' cannot be used: http",
        ),
        (
            HEAD + KEY_PROTECT.partition("[key_managers.kp.iam]")[0],
            "key_managers.kp.iam: missing: it is needed and has no",
        ),
        (
            HEAD + KEY_PROTECT + "[key_managers.kp.deleting]\n",
            "key_managers.kp.deleting: cannot be used: it names no way to prove who asks",
        ),
        (
            HEAD + KEY_PROTECT + "[key_managers.kp.lease]\nlease_seconds = 0\n",
            "kp.lease.lease_seconds: 0 cannot be used",
        ),
        (HEAD + KEY_PROTECT + "[key_managers.kp.lease]\noutage_grace_seconds = 90000\n", "it is more than 86400"),
        (HEAD + KEY_PROTECT + '[cache]\nmode = "on"\n', "cache.mode: 'on' cannot be used: it is not 'lease' or 'off'"),
        (
            HEAD + KEY_PROTECT + "[cache]\nentry_hours = 25\n",
            "cache.entry_hours: 25 cannot be used: it is more than 24",
        ),
        (
            HEAD + KEY_PROTECT.replace('"key_protect"', '"kms"'),
            "key_managers.kp.type: 'kms' cannot be used: it is not 'embedded', 'key_protect' or 'hpcs'; write type = "
            '"embedded", "key_protect" or "hpcs"',
        ),
        (HEAD + KEY_PROTECT.replace('type = "key_protect"', ""), "key_managers.kp.type: missing: it is needed and has"),
        (HEAD + "[key_managers]\nkp = 3\n", "key_managers.kp: 3 cannot be used: it is not a table"),
        (
            HEAD.replace('"integrity.key"', '"a"\ncredential = "b"') + KEY_PROTECT,
            "exactly one of key_file and credential",
        ),
        (
            HEAD.partition("[integrity]")[0] + KEY_PROTECT,
            "cannot be used: none of its key managers is an embedded one, and there is no table [integrity]: wrapped "
            "keys would have nothing to be authenticated with; make one with '(umask 077; head -c 32 /dev/urandom > "
            'integrity.key)\' and write [integrity] and key_file = "integrity.key"',
        ),
        (
            HEAD + KEY_PROTECT + "[key_manager_api]\nenabled = true\n",
            "write enabled = false: IBM serves the API of its",
        ),
    ],
)
def test_what_cannot_be_used_is_told_by_its_name_with_ibms_word_for_it(tmp_path: Path, text: str, told: str) -> None:
    """The field, what was found, why, and what to write instead."""
    assert told in mistakes(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        with_iam(f'api_key_file = "{API_KEY}"'),
        with_place(f'url = "https://apikey:{API_KEY}@kms.example.com"'),
        with_place(f'region = "eu-de"\nproxy = "http://me:{API_KEY}@proxy:3128"'),
        with_iam(f'api_key = "{API_KEY}"'),
        HEAD + KEY_PROTECT.replace(INSTANCE, API_KEY),
    ],
    ids=["in the place of its file", "in the address", "of the proxy", "in a key of its own", "in another's place"],
)
def test_a_secret_that_stands_in_the_configuration_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    """What is told of it goes into logs."""
    told = mistakes(tmp_path, text)

    assert API_KEY not in told


def test_the_environment_reaches_into_a_key_manager(tmp_path: Path) -> None:
    """As into every other table; a mistake in it is told by the variable."""
    environ = {"KEYRACK_KEY_MANAGERS__KP__REGION": "jp-tok", "KEYRACK_KEY_MANAGERS__KP__LEASE__LEASE_SECONDS": "10"}

    table = loaded(tmp_path, HEAD + KEY_PROTECT, environ).of_ibm["kp"]

    assert ("https://private.jp-tok.kms.cloud.ibm.com", 10) == (table.address, table.lease.lease_seconds)
    with pytest.raises(ConfigError, match=r"KEYRACK_KEY_MANAGERS__KP__REGION \(environment\): 'x' cannot be used"):
        loaded(tmp_path, HEAD + KEY_PROTECT, {"KEYRACK_KEY_MANAGERS__KP__REGION": "x"})


def test_both_kinds_stand_beside_each_other(tmp_path: Path) -> None:
    """Each has its lease; an embedded one gives the integrity root, so no table is needed for that."""
    text = HEAD.partition("[integrity]")[0] + EMBEDDED + KEY_PROTECT

    config = loaded(tmp_path, text)

    assert (["here"], ["kp"], 900) == (
        list(config.embedded),
        list(config.of_ibm),
        config.embedded["here"].lease.outage_grace_seconds,
    )


def test_the_client_is_told_everything(tmp_path: Path) -> None:
    """Paths are absolute, times in seconds."""
    written(tmp_path, "ibm.key")
    written(tmp_path, "manager.token")
    more = 'region = "eu-de"\nkey_ring = "vmware"\nproxy = "http://proxy:3128"\nanswer_seconds = 1.2\nconnections = 4'
    text = with_place(more) + '[key_managers.kp.deleting]\ntoken_file = "manager.token"\n'

    config = loaded(tmp_path, text)
    settings = settings_of(config, "kp", config.of_ibm["kp"])

    assert settings.deleting is not None
    assert (ApiKey(tmp_path / "ibm.key"), TokenFile(tmp_path / "manager.token")) == (
        settings.iam.source,
        settings.deleting.source,
    )
    assert ("kp", INSTANCE, "vmware", "http://proxy:3128", 1.2, 5, 4) == (
        settings.name,
        settings.instance,
        settings.key_ring,
        settings.proxy,
        settings.answer_seconds,
        settings.write_seconds,
        settings.connections,
    )


def test_a_trusted_profile_is_proved_by_the_platforms_token(tmp_path: Path) -> None:
    """Whose mode is the platform's affair."""
    written(tmp_path, "cr-token", mode=0o644)
    text = with_iam('trusted_profile = "Profile-1"\ncr_token_file = "cr-token"')

    config = loaded(tmp_path, text)

    assert (
        TrustedProfile("Profile-1", tmp_path / "cr-token") == settings_of(config, "kp", config.of_ibm["kp"]).iam.source
    )


def test_files_that_are_missing_are_named_all_at_once(tmp_path: Path) -> None:
    """With the key of the configuration that names them."""
    text = with_place('region = "eu-de"\nca_bundle = "ca.pem"') + '[key_managers.kp.deleting]\ntoken_file = "t"\n'
    config = loaded(tmp_path, text)

    with pytest.raises(ConfigError) as caught:
        settings_of(config, "kp", config.of_ibm["kp"])

    assert str(caught.value).splitlines() == [
        f"key_managers.kp.iam.api_key_file: {tmp_path}/ibm.key cannot be read: no such file or directory; correct the "
        "path, or put the file back",
        f"key_managers.kp.deleting.token_file: {tmp_path}/t cannot be read: no such file or directory; correct the "
        "path, or put the file back",
        f"key_managers.kp.ca_bundle: {tmp_path}/ca.pem cannot be read: no such file or directory; correct the path, or "
        "put the file back",
    ]


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o660])
def test_an_api_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    """As no key file of a keystore is; a group that may only read is that of a service manager's credentials."""
    path = written(tmp_path, "ibm.key", mode=mode)
    config = loaded(tmp_path, HEAD + KEY_PROTECT)

    with pytest.raises(ConfigError) as caught:
        settings_of(config, "kp", config.of_ibm["kp"])

    assert f"chmod 600 {path}" in str(caught.value)


def test_authorities_that_are_none_are_told(tmp_path: Path) -> None:
    """Before anything is asked."""
    written(tmp_path, "ibm.key")
    written(tmp_path, "ca.pem", b"no certificate\n")
    config = loaded(tmp_path, with_place('region = "eu-de"\nca_bundle = "ca.pem"'))

    with pytest.raises(ConfigError, match="it holds no certificates in PEM; write the authorities"):
        settings_of(config, "kp", config.of_ibm["kp"])


def test_a_credential_is_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file under its directory; outside of a service there is none, which is told."""
    config = loaded(tmp_path, with_iam('api_key_credential = "ibm.key"'))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match=r"api_key_credential: \$CREDENTIALS_DIRECTORY is not set"):
        settings_of(config, "kp", config.of_ibm["kp"])

    written(tmp_path, "ibm.key", mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert ApiKey(tmp_path / "ibm.key") == settings_of(config, "kp", config.of_ibm["kp"]).iam.source


def test_who_deletes_asks_the_same_iam_unless_another_is_named(tmp_path: Path) -> None:
    iam = '[key_managers.kp.iam]\nurl = "https://iam.example.com"\napi_key_file = "ibm.key"\n'
    text = HEAD + KEY_PROTECT.partition("[key_managers.kp.iam]")[0] + iam
    second = '[key_managers.kp.deleting]\napi_key_file = "manager.key"\n'
    same = loaded(tmp_path, text + second).of_ibm["kp"]
    other = loaded(tmp_path, text + second + 'url = "https://other.example.com"\n').of_ibm["kp"]
    assert same.deleting is not None
    assert other.deleting is not None

    assert same.iam_address(same.deleting) == "https://iam.example.com"
    assert other.iam_address(other.deleting) == "https://other.example.com"
