"""``keyrack iam``: what it prints, what it keeps to itself, and what it says of mistakes."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right, Role
from keyrack.embedded.iam.service_ids import service_ids
from keyrack.embedded.iam.tokens import ApiKeyNotFound, caller_of, token_for
from keyrack.embedded.keys import Alias, Key
from keyrack.embedded.tenancy import create_instance
from keyrack.shell.cli import run
from keyrack.testing.canaries import in_files
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, a_house, an_instance
from keyrack.testing.tokens import header_of

CONFIGURATION = """
[deployment]
id = "test"

[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = { key_file = "keystore.key" }
"""
KEY = "2c0f3f1e-5b1d-4a7b-9a53-6f8f0f6f7c11"
ISSUER = "https://localhost:8444/identity"

Told = tuple[int, str, str]
Keyrack = Callable[..., Told]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """The key manager of a deployment; with the same clock as the commands."""
    import time

    made = a_house(tmp_path)
    an_instance(made, rings=("vmware",))
    alias = Alias(name="crk", created_at=made.now, created_by="x")
    with made.database.change() as unit:
        unit.put_key(
            Key(
                identifier=KEY,
                instance=INSTANCE,
                name="k1",
                extractable=True,
                created_at=made.now,
                created_by="x",
                updated_at=made.now,
                state_changed_at=made.now,
                aliases=(alias,),
            )
        )
    made.clock.now = time.time()  # type: ignore[attr-defined]
    (tmp_path / "keyrack.toml").write_text(CONFIGURATION)
    yield made
    made.close()


@pytest.fixture
def keyrack(house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Keyrack:
    def told(*words: str) -> Told:
        code = run(["iam", *words, "--config", str(tmp_path / "keyrack.toml")])
        output, beside = capfd.readouterr()
        return code, output, beside

    return told


def test_from_nothing_to_a_token(house: House, keyrack: Keyrack, tmp_path: Path) -> None:
    code, output, _ = keyrack("service-id", "create", "backup", "--role", "Writer", "--key-ring", "vmware")
    assert code == 0
    [made] = service_ids(house)
    assert re.search(rf"^identifier +{made.identifier}$", output, re.MULTILINE)
    assert "key ring vmware of instance 0b7d" in output
    assert "keyrack iam api-key create backup" in output

    code, output, beside = keyrack("api-key", "create", "backup")

    assert code == 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{44}\n", output), "a pipe gets the key and nothing else"
    assert "one time" in beside
    assert output.strip() not in beside
    key = output.strip().encode()
    caller = caller_of(house, token_for(house, Secret(bytearray(key)), ISSUER).access_token)
    assert caller.service_id == made.identifier
    assert in_files([key], tmp_path) == []


def test_an_api_key_is_printed_once_and_never_again(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup")
    _, output, _ = keyrack("api-key", "create", "backup", "--json")
    key = json.loads(output)["api_key"]

    for words in (("api-key", "list"), ("api-key", "list", "backup", "--json"), ("service-id", "list", "--json")):
        code, output, beside = keyrack(*words)
        assert code == 0
        assert key not in output + beside
        [kept] = service_ids(house)[0].api_keys
        assert kept.hash.hex() not in output


def test_lists_name_what_there_is(house: House, keyrack: Keyrack) -> None:
    assert "No service ID yet" in keyrack("service-id", "list")[2]
    keyrack("service-id", "create", "backup", "--role", "reader", "--role", "KEYPURGE", "--all-instances")
    keyrack("service-id", "create", "idle", "--description", "does nothing")
    assert "No API key yet" in keyrack("api-key", "list")[2]
    keyrack("api-key", "create", "backup")
    keyrack("api-key", "create", "backup")
    keyrack("api-key", "create", "backup", "--name", "prod")

    _, output, _ = keyrack("service-id", "list")
    lines = [re.split(r"  +", line) for line in output.splitlines()]
    assert [line[:4] for line in lines[1:]] == [
        ["backup", "Reader", "every key manager instance", "3"],
        ["backup", "KeyPurge", "every key manager instance", "3"],
        ["idle", "-", "-", "0"],
    ]
    _, output, _ = keyrack("service-id", "list", "--json")
    assert [(each["name"], each["description"]) for each in json.loads(output)] == [
        ("backup", ""),
        ("idle", "does nothing"),
    ]
    _, output, _ = keyrack("api-key", "list", "backup", "--json")
    assert [each["name"] for each in json.loads(output)] == ["key-1", "key-2", "prod"]


def test_names_and_identifiers_are_accepted_alike(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup")
    keyrack("api-key", "create", "backup")
    [made] = service_ids(house)
    create_instance(house, ADMINISTRATOR, "prod")

    assert keyrack("grant", made.identifier, "--role", "Reader", "--instance", INSTANCE, "--key", "crk")[0] == 0
    assert keyrack("grant", made.iam_id, "--role", "Manager", "--instance", "prod")[0] == 0
    granted = [(each.role, each.instance == INSTANCE, each.key) for each in service_ids(house)[0].grants]
    assert granted == [(Role.READER, True, KEY), (Role.MANAGER, False, None)]
    assert keyrack("api-key", "delete", made.identifier, made.api_keys[0].identifier, "--yes")[0] == 0
    assert keyrack("service-id", "delete", made.identifier, "-y")[0] == 0
    assert service_ids(house) == []


def test_a_role_is_taken_back_where_it_was_granted(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup", "--role", "Writer", "--key-ring", "vmware")
    keyrack("grant", "backup", "--role", "Reader")

    assert keyrack("revoke", "backup", "--role", "Writer")[0] == 1, "it is over a key ring"
    code, output, _ = keyrack("revoke", "backup", "--role", "Writer", "--key-ring", "vmware")

    assert code == 0
    assert "no longer Writer over key ring vmware" in output
    assert "still is Reader over key manager instance" in output


def test_a_grant_over_a_key_that_is_gone_can_be_taken_back(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup", "--role", "Reader", "--key", KEY)
    with house.database.change() as unit:
        unit.remove_key(unit.key(INSTANCE, KEY))

    assert keyrack("grant", "backup", "--role", "Writer", "--key", KEY)[0] == 1
    assert keyrack("revoke", "backup", "--role", "Reader", "--key", KEY)[0] == 0


def test_a_deleted_api_key_gets_no_token(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup")
    _, key, _ = keyrack("api-key", "create", "backup")

    code, output, _ = keyrack("api-key", "delete", "backup", "key-1", "--yes")

    assert (code, output) == (0, "Deleted the API key key-1 of backup: it and its tokens count no more.\n")
    with pytest.raises(ApiKeyNotFound):
        token_for(house, Secret(bytearray(key.strip().encode())), ISSUER)


@pytest.mark.parametrize("words", [("service-id", "delete", "backup"), ("api-key", "delete", "backup", "key-1")])
def test_nothing_is_deleted_where_nobody_can_be_asked(
    house: House, keyrack: Keyrack, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    keyrack("service-id", "create", "backup")
    keyrack("api-key", "create", "backup")
    before = service_ids(house)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    told = keyrack(*words)

    refused = "keyrack: nobody is at a terminal to be asked; say --yes to delete it. Nothing was changed\n"
    assert told == (2, "", refused)
    assert service_ids(house) == before


def test_a_new_key_signs_tokens_and_the_old_tokens_count(house: House, keyrack: Keyrack) -> None:
    keyrack("service-id", "create", "backup")
    key = keyrack("api-key", "create", "backup")[1].strip().encode()
    old = token_for(house, Secret(bytearray(key)), ISSUER).access_token

    code, output, _ = keyrack("rotate-signing-key", "--json")

    new = token_for(house, Secret(bytearray(key)), ISSUER).access_token
    assert (code, json.loads(output)["kid"]) == (0, header_of(new)["kid"])
    assert header_of(old)["kid"] != header_of(new)["kid"]
    assert caller_of(house, old) == caller_of(house, new)
    assert "signed with the new key" in keyrack("rotate-signing-key")[1]


def test_the_matrix_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["iam", "roles"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capfd.readouterr().out.splitlines()}
    assert [right for right in Right if right not in lines] == []
    assert lines["kms.secrets.read"] == ["-", "yes", "yes", "yes", "-", "-"]
    assert lines["kms.kmip-management.list"] == ["*", "-", "-", "-", "yes", "yes", "-"]

    assert run(["iam", "roles", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["KeyPurge"] == ["kms.secrets.purge"]
    assert list(told) == [role.value for role in Role]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("service-id", "create", "x", "--role", "Boss"), 2, "no role 'Boss'; 'keyrack iam roles' shows Reader, "),
        (("service-id", "create", "x", "--key-ring", "vmware"), 2, "add --role"),
        (("service-id", "create", "x", "--role", "Reader", "--all-instances", "--key-ring", "vmware"), 2, "leave"),
        (("service-id", "create", "x", "--role", "Reader", "--key-ring", "vmwear"), 1, "no key ring 'vmwear'"),
        (("service-id", "create", "x", "--role", "Reader", "--instance", "prdo"), 1, "use one of instance 0b7d"),
        (("service-id", "create", "x", "--role", "Reader", "--key", "nokey"), 1, "no key 'nokey'"),
        (("service-id", "create", "backup"), 1, "'backup' already: choose another name"),
        (("service-id", "create", "a\x1bb"), 1, "printable characters"),
        (("service-id", "create", "x", "--key-manager", "other"), 2, "configured are embedded"),
        (("service-id", "delete", "bakcup"), 1, "no service ID 'bakcup': see 'keyrack iam service-id list'"),
        (("grant", "bakcup", "--role", "Reader"), 1, "no service ID 'bakcup'"),
        (("grant", "backup"), 2, "--role"),
        (("revoke", "backup", "--role", "Reader"), 1, "no such grant"),
        (("api-key", "create", "bakcup"), 1, "no service ID 'bakcup'"),
        (("api-key", "delete", "backup", "nokey"), 1, "no API key 'nokey': see 'keyrack iam api-key list backup'"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    house: House, keyrack: Keyrack, words: tuple[str, ...], code: int, message: str
) -> None:
    keyrack("service-id", "create", "backup")
    before = service_ids(house)

    told, output, beside = keyrack(*words)

    assert (told, output) == (code, "")
    assert message in beside
    assert "Traceback" not in beside
    assert service_ids(house) == before
