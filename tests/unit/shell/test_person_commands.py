"""``keyrack person``, ``api-key`` and ``session``, and the first person: what they print, and what they refuse."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keyrack.domain.people import is_name
from keyrack.shell.cli import run
from keyrack.shell.first_person import name_of_account

Told = tuple[int, str, str]
Keyrack = Callable[..., Told]
PASSWORD = "tango fjord whisker"


@pytest.fixture
def keyrack(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keyrack:
    """The command line over a new deployment; answers exit code, output and standard error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = tmp_path / "k"

    def call(*words: str, typed: str = "") -> Told:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        option = ["--directory", str(directory)] if words[0] == "init" else ["--config", f"{directory}/keyrack.toml"]
        code = run([*words, *option])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return call


@pytest.fixture
def made(keyrack: Keyrack) -> str:
    """A deployment whose first person is root; what ``init`` has printed."""
    code, out, _ = keyrack("init", "--yes", "--administrator", "root")
    assert code == 0
    return out


def test_the_first_person_has_a_link_and_no_password(keyrack: Keyrack, made: str, tmp_path: Path) -> None:
    """Both roles; the link is in no file, and a command does without a browser."""
    found = re.search(r"https://127\.0\.0\.1:8443/set-password#(krl_[A-Za-z0-9_-]{43})$", made, re.MULTILINE)
    assert found is not None
    assert f"keyrack person password root --config {tmp_path}/k/keyrack.toml" in made
    [root] = json.loads(keyrack("person", "list", "--json")[1])
    assert (root["name"], root["state"], root["created_by"][:11]) == ("root", "invited", "local-user-")
    assert [each["role"] for each in root["roles"]] == ["administrator", "security-officer"]
    pages = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert found[1].encode() not in pages
    assert b"$argon2id$v=19$" not in pages


def test_init_tells_the_first_person_as_json(keyrack: Keyrack) -> None:
    told = json.loads(keyrack("init", "--yes", "--json", "--administrator", "Anna")[1])
    assert told["first_person"]["name"] == "anna"
    assert "#krl_" in told["first_person"]["link"]


def test_init_makes_nothing_for_a_name_that_is_none(keyrack: Keyrack, tmp_path: Path) -> None:
    code, _, err = keyrack("init", "--yes", "--administrator", "a b")
    assert (code, "cannot be a person's name" in err) == (1, True)
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("account", ["root", "Anna.Smith", "CORP\\anna", "анна", "_apt", "x" * 90, "0"])
def test_an_account_makes_a_name(account: str) -> None:
    assert is_name(name_of_account(account))


def test_people_come_and_go(keyrack: Keyrack, made: str) -> None:
    """Add, password, grant, revoke, disable, enable, remove: each tells what has become of it."""
    code, out, err = keyrack("person", "add", "anna", "--role", "operator", "--display", "Anna Example")
    assert code == 0
    assert out.startswith(
        "Added anna: operator.\nWith this link anna sets a password, once, within 24 hours:\n  https://"
    )
    assert err == ""
    code, out, _ = keyrack("person", "password", "anna", "--password-file", "-", typed=PASSWORD + "\n")
    assert (code, out) == (0, "The password of anna is set; log-ins and links of before count no more.\n")
    assert keyrack("person", "grant", "anna", "administrator")[1] == "anna is now: administrator, operator.\n"
    assert keyrack("person", "revoke", "anna", "operator")[1] == "anna is now: administrator.\n"
    code, _, err = keyrack("person", "revoke", "anna", "operator")
    assert (code, "anna is not operator everywhere" in err) == (1, True)
    code, _, err = keyrack("person", "remove", "anna", "--yes")
    assert (code, "the last administrator who can log in; make somebody else" in err) == (1, True)
    assert keyrack("person", "password", "root", "--password-file", "-", typed=PASSWORD)[0] == 0
    assert keyrack("person", "disable", "anna", "--yes")[1].startswith("anna is locked out")
    assert keyrack("person", "invite", "anna")[0] == 1
    assert keyrack("person", "enable", "anna")[0] == 0
    assert keyrack("person", "invite", "anna")[0] == 0
    shown = json.loads(keyrack("person", "show", "anna", "--json")[1])
    assert (shown["display"], shown["state"], shown["sessions"], shown["locked_until"]) == (
        "Anna Example",
        "active",
        0,
        None,
    )
    assert keyrack("person", "remove", "anna", "--yes")[1].startswith("anna is removed")
    assert "anna" not in keyrack("person", "list")[1]
    assert "removed" in keyrack("person", "list", "--removed")[1]
    code, _, err = keyrack("person", "add", "anna")
    assert (code, "never given again" in err) == (1, True)


def test_api_keys_are_shown_once(keyrack: Keyrack, made: str) -> None:
    code, out, err = keyrack("api-key", "create", "root", "backup", "--role", "administrator", "--days", "30")
    assert (code, "shown this one time" in err) == (0, True)
    key = out.strip()
    assert re.fullmatch(r"krk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}", key)
    listed = json.loads(keyrack("api-key", "list", "--json")[1])
    assert [each["name"] for each in listed] == ["backup"]
    assert key not in json.dumps(listed)
    code, _, err = keyrack("api-key", "create", "root", "more", "--role", "operator")
    assert (code, "root does not have the role operator as such" in err) == (1, True)
    assert (
        keyrack("api-key", "revoke", "backup", "--yes")[1] == "Revoked the API key backup of root: it counts no more.\n"
    )
    assert keyrack("api-key", "list")[1] == ""
    assert "revoked" in keyrack("api-key", "list", "--revoked")[1]


def test_mistakes_are_told_in_a_line(keyrack: Keyrack, made: str) -> None:
    """Each with its exit code; nobody is asked where nobody is, and no password is an argument."""
    mistakes: dict[tuple[str, ...], tuple[int, str]] = {
        ("person", "show", "nobody"): (1, "there is no person 'nobody'; 'keyrack person list' shows all"),
        ("person", "add", "a b"): (1, "'a b' cannot be a person's name"),
        ("person", "add", "root"): (1, "there is a person 'root' already"),
        ("person", "add", "eve", "--role", "king"): (2, "there is no role 'king'; use viewer, auditor"),
        ("person", "add", "eve", "--instance", "prod"): (2, "add --role"),
        ("person", "add", "eve", "--role", "viewer", "--instance", "prod"): (1, "there is no instance 'prod'"),
        ("person", "add", "eve@x", "--subject", "1"): (2, "no issuer is configured in [api.oidc]"),
        ("person", "password", "root"): (2, "--password-file FILE, or -"),
        ("person", "disable", "root"): (2, "say --yes"),
        ("api-key", "revoke", "nothing", "--yes"): (1, "there is no API key 'nothing'"),
        ("api-key", "create", "root", "x", "--days", "731"): (2, "less than or equal to 730"),
        ("session", "end", "root", "abcd"): (1, "root has no log-in 'abcd'"),
    }
    for words, (code, line) in mistakes.items():
        told = keyrack(*words)
        assert (told[0], line in told[2]) == (code, True), told
    weak = keyrack("person", "password", "root", "--password-file", "-", typed="Password1234\n")
    assert (weak[0], "everybody tries first" in weak[2], "Password1234" in weak[2]) == (1, True, False)
    assert [each["name"] for each in json.loads(keyrack("person", "list", "--json")[1])] == ["root"]


def test_sessions_are_listed_and_ended(keyrack: Keyrack, made: str) -> None:
    assert keyrack("session", "list")[2] == "Nobody is logged in.\n"
    assert keyrack("session", "list", "root", "--json")[1] == "[]\n"
    assert keyrack("session", "end", "root")[1] == "Ended 0 log-ins of root.\n"
