"""``keyrack database``, ``init --catalog``, and commands that have something of their own to say over PostgreSQL."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keyrack.shell.cli.completion import instance_names
from keyrack.shell.config.rewriting import NotRewritten, rewritten
from keyrack.shell.nodes.database_findings import findings_of
from keyrack.shell.nodes.databases import verifier
from keyrack.testing.client import Client
from keyrack.testing.golden import ran
from keyrack.testing.postgres import ACCOUNT, OWNER, SERVER, Cluster, binaries
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Writer

pytestmark = [
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"),
    pytest.mark.sqlite("these name their databases themselves"),
]


def done(*words: str) -> Any:
    code, out, err = ran([*words, "--json"])
    assert code == 0, err
    return json.loads(out)


def refused(*words: str, code: int = 1) -> str:
    found, out, err = ran(words)
    assert (code, "") == (found, out)
    return err


def initialise(directory: Path, url: str, *more: str) -> Sequence[str]:
    return ("init", "--directory", str(directory), "--yes", "--deployment", "here", "--catalog", url, *more)


def test_prepare_makes_schema_and_role_and_says_what_is_next(postgres_cluster: Cluster, tmp_path: Path) -> None:
    name = postgres_cluster.database("bare")
    (tmp_path / "password").write_text("Str3ng-geheim\n")
    url = postgres_cluster.url(OWNER, name)
    try:
        assert "no role 'fresh_role': say --create-role" in refused(
            "database", "prepare", "--url", url, "--role", "fresh_role"
        )
        assert "may not make roles" in refused(
            "database", "prepare", "--url", url, "--role", "fresh_role", "--create-role"
        )
        assert "may not own" in refused("database", "prepare", "--url", url, "--role", OWNER)
        assert "no schema yet" in refused("database", "upgrade", "--url", url)
        assert "does not own" in refused(
            "database", "prepare", "--url", postgres_cluster.url(SERVER, name), "--role", OWNER
        )
        password = ("--role-password-file", str(tmp_path / "password"))
        root = postgres_cluster.url(ACCOUNT, name)
        told = done("database", "prepare", "--url", root, "--role", "fresh_role", "--create-role", *password)
        assert told == {"schema": 11, "oldest_reader": 10, "steps": 2, "role": "fresh_role", "role_made": True}
        kept = postgres_cluster.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'fresh_role'")
        assert kept.startswith("SCRAM-SHA-256$4096:")
        assert not done("database", "prepare", "--url", root, "--role", "fresh_role")["steps"]
        assert done("database", "upgrade", "--url", root)["role"] == "fresh_role"
    finally:
        postgres_cluster.sql(f"DROP DATABASE {name}", "DROP ROLE IF EXISTS fresh_role")


def test_a_password_is_kept_as_the_standard_says() -> None:
    """The example of RFC 7677: the keys of user "user" with the password "pencil"."""
    import base64

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_a_url_with_a_password_is_wrong_use_and_not_repeated() -> None:
    url = "postgresql://owner:Str3ng-geheim@127.0.0.1/keyrack"
    for words in (("database", "prepare", "--url", url), ("migrate-catalog", "--to", url, "--yes")):
        told = refused(*words, code=2)
        assert "it holds a password" in told
        assert "geheim" not in told
    assert "postgresql://OWNER@HOST/DATABASE" in refused("database", "upgrade", "--url", "sqlite:///x", code=2)


def test_a_deployment_begins_over_a_prepared_database(postgres: Fresh, tmp_path: Path) -> None:
    directory = tmp_path / "here"
    told = done(*initialise(directory, postgres.url))
    assert not (directory / "catalog.db").exists()
    assert f'url = "{postgres.url}"' in (directory / "keyrack.toml").read_text()
    config = ("--config", told["config"])
    assert done("database", "check", *config)["fit"]
    assert [] == done("instance", "list", *config)
    assert "here" == postgres.cluster.sql("SELECT identifier FROM deployment", database=postgres.name)
    code, out, _ = ran(["doctor", *config])
    assert code == 0
    assert "PostgreSQL 1" in out
    assert "no commit waits for a standby (0 connected)" in out
    assert "database: standby" in ran(["status", *config])[1]

    # A second one there is refused, and leaves nothing.
    other = tmp_path / "other"
    assert "it holds a deployment already" in refused(*initialise(other, postgres.url), code=2)
    words = (*initialise(other, postgres.url), "--deployment", "elsewhere")
    assert "that of deployment 'here'" in refused(*words, code=2)
    assert not other.exists()


def test_init_over_a_database_that_is_not_prepared_says_what_prepares_it(
    postgres_cluster: Cluster, tmp_path: Path
) -> None:
    told = refused(*initialise(tmp_path / "here", postgres_cluster.url(SERVER, "postgres")), code=2)
    assert "no schema yet: make it with 'keyrack database prepare'" in told
    assert not (tmp_path / "here").exists()


def test_a_lost_database_is_filled_again_from_the_key_managers(
    postgres: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(directory=tmp_path / "here").initialise()
    contexts = deployment.furnish()
    address = deployment.start()
    with Client(address, contexts["b"]) as client:
        Writer(client, "b", "kept").create()
    deployment.stop()
    deployment.environment = {"KEYRACK_CATALOG__URL": postgres.url}

    trial = deployment.read("rebuild", "--from-key-manager", "--dry-run")
    assert (1, True) == (trial["keys"], trial["dry_run"])
    assert [] == deployment.read("instance", "list")
    assert 1 == deployment.read("rebuild", "--from-key-manager", "--instance-name", "again")["keys"]
    assert ["again"] == [each["name"] for each in deployment.read("instance", "list")]

    monkeypatch.setenv("KEYRACK_CATALOG__URL", postgres.url)
    context: Any = SimpleNamespace(params={"config": deployment.configuration})
    assert (["again"], []) == (instance_names(context, "a"), instance_names(context, "x"))


SEEN = {
    "version": "15.18", "size": 2**23, "journal": 2**20, "named": "'s1'", "standbys": 1, "synchronous": 1, "lag": 0.1,
    "connections": 9, "most": 100, "oldest": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "level", "told"),
    [
        ({}, "ok", "1 of 1 connected are waited for, 0.1 s behind"),
        ({"synchronous": None, "lag": None}, "ok", "GRANT pg_read_all_stats"),
        ({"named": ""}, "failed", "the loss of one disk loses acknowledged keys"),
        ({"synchronous": 0}, "failed", "every commit waits"),
        ({"standbys": 0}, "failed", "every commit waits"),
        ({"lag": 99.0}, "warning", "99 s behind"),
        ({"connections": 95}, "warning", "95 of 100 are taken"),
        ({"oldest": 999.0}, "warning", "lasts for 999 s"),
    ],
)
def test_what_a_database_lacks_is_told(seen: dict[str, Any], level: str, told: str) -> None:
    from keyrack.adapters.catalogs.postgres.condition import Condition

    found = findings_of(Condition(**{**SEEN, **seen}), "db/keyrack", required=True)

    assert [(level, True)] == [(str(each.level), True) for each in found if told in each.told + each.act]


URL = "postgresql://keyrack@db/keyrack"
BEFORE = """\
# Mine.
[deployment]
id = "here"

[catalog]          # where keys are
url = "sqlite:///catalog.db"   # one file
standby = "warn"

# The log.
[log]
level = "info"
"""


def test_another_catalog_leaves_the_rest_of_a_configuration_as_it_was() -> None:
    after = rewritten(BEFORE, URL, Path("db.password"))
    assert after == BEFORE.replace('"sqlite:///catalog.db"   # one', f'"{URL}"   # one').replace(
        'standby = "warn"\n', 'standby = "warn"\npassword_file = "db.password"\n'
    )
    bare = '[deployment]\nid = "here"\n'
    assert rewritten(bare, URL) == f'{bare}\n[catalog]\nurl = "{URL}"\n'
    with pytest.raises(NotRewritten):
        rewritten('catalog = { url = "sqlite:///catalog.db" }\n[log]\n', URL)
