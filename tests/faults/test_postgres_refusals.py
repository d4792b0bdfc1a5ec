"""Every database that cannot be the catalog is refused at start, by a text that names the setting and what mends it.

On real servers with real certificates; what the protections are there for is tried beside each: the same start goes
through once the setting is right.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place, connect, password_in
from keyrack.adapters.catalogs.postgres.migrator import APPEND_ONLY
from keyrack.adapters.catalogs.postgres.opening import CHECKS, Asked, check, look
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell.nodes import databases
from keyrack.testing.certificates import authority, client
from keyrack.testing.golden import ran
from keyrack.testing.postgres import ACCOUNT, OWNER, SERVER, binaries
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.postgres_grounds import ADDRESS, BY_CERTIFICATE, SCRAM, Ground, ground_in, pooler, standby_of
from keyrack.testing.process import deployed

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")

PASSWORD = "Str3ng-geheim"


over_network = pytest.mark.skipif(ADDRESS is None, reason="needs an address that is not loopback")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground_in(tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture
def fresh(ground: Ground) -> Iterator[Fresh]:
    made = Fresh(ground.cluster)
    made.make()
    yield made
    made.drop()


async def refusal(url: str, **more: Any) -> str:
    with pytest.raises(CatalogUnavailable) as refused:
        await check(Place(url, "test"), **more)
    return str(refused.value)


async def fits(url: str, **more: Any) -> None:
    await check(Place(url, "test"), **more)


async def test_what_is_right_is_not_refused(fresh: Fresh) -> None:
    await fits(fresh.url)
    assert not [each for each in await look(Place(fresh.url, "test")) if each.trouble]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://keyrack@127.0.0.1:1/keyrack", "cannot be reached.*correct catalog.url"),
        ("postgresql://keyrack@host.invalid/keyrack", "cannot be reached.*correct catalog.url"),
        ("postgresql://keyrack@127.0.0.1:PORT/absent", 'database "absent" does not exist.*CREATE DATABASE'),
        ("postgresql://stranger@127.0.0.1:PORT/keyrack", "does not let this role in.*pg_hba.conf"),
        ("postgresql://keyrack@127.0.0.1:PORT/postgres", "no schema yet.*keyrack database prepare"),
        ("postgresql://keyrack@127.0.0.1:PORT/keyrack?sslmode=nonsense", "cannot be reached.*sslmode.*catalog.url"),
    ],
)
async def test_a_wrong_url_is_refused(ground: Ground, url: str, told: str) -> None:
    import re

    assert re.search(told, await refusal(url.replace("PORT", str(ground.cluster.port))))


async def test_a_wrong_password_is_refused_and_not_shown(ground: Ground, fresh: Fresh) -> None:
    await _roles(ground, fresh)
    url = f"postgresql://{SCRAM}@127.0.0.1:{ground.cluster.port}/{fresh.name}?sslmode=require"
    for password in ("wrong-geheim", ""):
        with pytest.raises(UnfitDatabase, match=r"does not let this role in.*catalog\.password_file") as refused:
            await check(Place(url, "test", password))
        assert "geheim" not in str(refused.value)
    await check(Place(url, "test", PASSWORD))


async def test_a_password_file_that_is_of_no_use_is_named(fresh: Fresh, tmp_path: Path) -> None:
    for path, told in ((tmp_path / "absent", "No such file.*absent"), (tmp_path / "empty", "has no line of text")):
        if path.name == "empty":
            path.touch()
        with pytest.raises(UnfitDatabase, match=f"the file with the database's password.*{told}"):
            await check(Place(fresh.url, "test", password_in(path)))


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
async def test_a_server_that_a_power_cut_spoils_is_refused(ground: Ground, fresh: Fresh, name: str) -> None:
    with ground.setting(name, "off"):
        assert f"set {name} = on in postgresql.conf and reload it" in await refusal(fresh.url)
    await fits(fresh.url)


FORCED = {
    "synchronous_commit": ("off", "synchronous_commit = off is forced.*take the setting from the role, the database"),
    "default_transaction_isolation": ("'serializable'", "'serializable': take default_transaction_isolation from"),
}


@pytest.mark.parametrize("name", FORCED)
async def test_a_setting_that_is_forced_is_refused(ground: Ground, fresh: Fresh, name: str) -> None:
    """What role and database say is overruled by each connection; only who drops its settings can force them."""
    value, told = FORCED[name]
    ground.cluster.sql(f'ALTER ROLE {SERVER} IN DATABASE "{fresh.name}" SET {name} = {value}')
    await fits(fresh.url)
    async with pooler(ground.cluster.port) as port:
        url = fresh.url.replace(f":{ground.cluster.port}/", f":{port}/")
        with pytest.raises(UnfitDatabase, match=told):
            await check(Place(url, "test"))


async def test_a_role_that_could_change_the_journal_is_refused(fresh: Fresh) -> None:
    for table in (*APPEND_ONLY, "keyrack_schema"):
        for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
            owner(fresh, f"GRANT {right} ON {table} TO {SERVER}")
            told = await refusal(fresh.url)
            assert f"has the right {right} on {table}" in told
            assert "keyrack database prepare --role keyrack" in told
            owner(fresh, f"REVOKE {right} ON {table} FROM {SERVER}")


async def test_the_owner_a_member_of_it_and_a_superuser_are_refused(ground: Ground, fresh: Fresh) -> None:
    url = ground.cluster.url(OWNER, fresh.name)
    assert f"'{OWNER}' owns the table journal" in await refusal(url)
    assert "is a superuser" in await refusal(ground.cluster.url(ACCOUNT, fresh.name))
    ground.cluster.sql("CREATE ROLE hidden LOGIN NOINHERIT", f"GRANT {OWNER} TO hidden")
    await databases.prepare(Place(url, "test"), "hidden", create=False)
    try:
        assert "'hidden' owns the table journal" in await refusal(ground.cluster.url("hidden", fresh.name))
    finally:
        ground.cluster.sql("DROP OWNED BY hidden", database=fresh.name)
        ground.cluster.sql("DROP ROLE hidden")


async def test_each_right_that_is_missing_is_named(ground: Ground, fresh: Fresh) -> None:
    """Every table, sequence and view: one right less, and the start says which."""
    granted = ground.cluster.sql(
        f"SELECT table_name || ',' || privilege_type FROM information_schema.role_table_grants "
        f"WHERE grantee = '{SERVER}' ORDER BY 1",
        database=fresh.name,
    ).splitlines()
    sequences = ground.cluster.sql("SELECT relname FROM pg_class WHERE relkind = 'S'", database=fresh.name).split()
    things = [tuple(each.split(",")) for each in granted] + [(name, "USAGE") for name in sequences]
    assert len(things) > 100
    connection = await connect(Place(fresh.url, "test"))
    owning = await connect(Place(ground.cluster.url(OWNER, fresh.name), "owner"))
    asked = Asked(connection, Place(fresh.url, "test"), "warn")
    try:
        for table, right in things:
            kind = "SEQUENCE" if right == "USAGE" else "TABLE"
            await owning.execute(f'REVOKE {right} ON {kind} "{table}" FROM {SERVER}')
            if (table, right) == ("keyrack_schema", "SELECT"):
                assert "keyrack database prepare" in await refusal(fresh.url)
            else:
                with pytest.raises(UnfitDatabase, match=f"lacks the right {right} on {table}"):
                    await CHECKS["rights"](asked)
            await owning.execute(f'GRANT {right} ON {kind} "{table}" TO {SERVER}')
        await owning.execute(f"REVOKE EXECUTE ON FUNCTION cut_journal FROM {SERVER}")
        with pytest.raises(UnfitDatabase, match="lacks the right EXECUTE on cut_journal"):
            await CHECKS["rights"](asked)
    finally:
        connection.terminate()
        owning.terminate()


async def test_prepare_mends_rights_and_gives_no_more(ground: Ground, fresh: Fresh) -> None:
    owner(fresh, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {SERVER}", f"REVOKE INSERT ON object FROM {SERVER}")
    await refusal(fresh.url)

    await databases.prepare(Place(ground.cluster.url(OWNER, fresh.name), "test"), SERVER, create=False)

    await fits(fresh.url)
    for statement in (
        "UPDATE journal SET text = ''", "DELETE FROM journal", "TRUNCATE journal", "DELETE FROM journal_cut",
        "UPDATE journal_checkpoint SET text = ''", "UPDATE keyrack_schema SET number = 1",
        "SELECT setval('journal_number_seq', 1)", "CREATE TABLE mine ()", "DROP TABLE journal",
        "ALTER TABLE journal DISABLE TRIGGER ALL", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ):  # fmt: skip
        with pytest.raises(Exception, match="permission denied|must be owner"):
            await _say(fresh.url, statement)


async def test_a_newer_an_older_and_a_foreign_schema_are_refused(ground: Ground, fresh: Fresh) -> None:
    owner(fresh, "UPDATE keyrack_schema SET number = 99")
    await fits(fresh.url)  # A newer one that this Keyrack still understands: a rolling upgrade.
    owner(fresh, "UPDATE keyrack_schema SET least = 99")
    assert "update this node" in await refusal(fresh.url)
    with pytest.raises(UnfitDatabase, match="use the newer one"):
        await databases.prepare(Place(ground.cluster.url(OWNER, fresh.name), "test"), SERVER, create=False)
    owner(fresh, "UPDATE keyrack_schema SET number = 9, least = 9")
    assert "keyrack database upgrade" in await refusal(fresh.url)
    owner(fresh, "DROP TABLE keyrack_schema")
    assert "tables of another program" in await refusal(fresh.url)


async def test_two_deployments_on_one_database_are_refused(fresh: Fresh, tmp_path: Path) -> None:
    owner(fresh, "INSERT INTO deployment VALUES (1, 'somebody-else')")
    here = deployed(tmp_path / "here", {"KEYRACK_CATALOG__URL": fresh.url})
    done = await asyncio.to_thread(here.run, "serve", check=False)
    assert done.returncode == 2, done.stderr
    assert "deployment.id" in done.stderr
    assert "'somebody-else'" in done.stderr


async def test_a_catalog_on_its_way_in_is_not_served(fresh: Fresh) -> None:
    owner(fresh, "INSERT INTO deployment VALUES (1, 'moving here 0123')")
    assert "keyrack migrate-catalog" in await refusal(fresh.url)
    await fits(fresh.url, moves=True)


async def test_required_standbys_have_to_be_named(ground: Ground, fresh: Fresh) -> None:
    told = await refusal(fresh.url, standby="require")
    assert "synchronous_standby_names is empty" in told
    assert 'standby = "warn"' in told
    with ground.setting("synchronous_standby_names", "'*'"):
        await fits(fresh.url, standby="require")


class Old:
    """A connection to a server of another age."""

    async def fetchval(self, statement: str) -> str:
        return "130011" if "version" in statement else "UTF8"


async def test_a_server_of_another_age_is_refused() -> None:
    with pytest.raises(UnfitDatabase, match="version 13; Keyrack needs 14 or newer"):
        await CHECKS["version and encoding"](Asked(Old(), Place("postgresql://x/y", "test"), "warn"))


@over_network
@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("sslmode=disable", "not encrypted: write sslmode=verify-full and sslrootcert=FILE"),
        ("sslmode=require", "need not prove itself under sslmode=require"),
        ("", "need not prove itself under sslmode=prefer"),
        ("sslmode=verify-full&sslrootcert=OTHER", "does not prove itself.*correct sslrootcert"),
    ],
)
async def test_an_open_connection_over_the_network_is_refused(
    ground: Ground, fresh: Fresh, rest: str, told: str
) -> None:
    other = ground.directory / "other.pem"
    other.write_bytes(authority("another").pem)
    with pytest.raises(CatalogUnavailable, match=told):
        await check(Place(ground.network(SERVER, fresh.name, rest.replace("OTHER", str(other))), "test"))
    await fits(ground.network(SERVER, fresh.name, f"sslmode=verify-full&sslrootcert={ground.directory}/ca.pem"))


async def test_a_certificate_of_another_name_is_refused(ground: Ground, fresh: Fresh) -> None:
    proof = f"sslrootcert={ground.directory}/ca.pem"
    url = f"postgresql://{SERVER}@localhost:{ground.cluster.port}/{fresh.name}?sslmode=MODE&{proof}"
    with pytest.raises(CatalogUnavailable, match="does not prove itself.*the host names in catalog.url"):
        await check(Place(url.replace("MODE", "verify-full"), "test"))
    await fits(url.replace("MODE", "verify-ca"))


async def test_tls_with_a_password_and_with_a_client_certificate_work(ground: Ground, fresh: Fresh) -> None:
    await _roles(ground, fresh)
    pair = client(ground.root, BY_CERTIFICATE)
    certificate, key = pair.write(ground.directory, "client")
    file = ground.directory / "password"
    file.write_text(PASSWORD + "\n")
    proof = f"sslmode=verify-full&sslrootcert={ground.directory}/ca.pem"
    base = f"127.0.0.1:{ground.cluster.port}/{fresh.name}?{proof}"
    for place in (
        Place(f"postgresql://{SCRAM}@{base}", "test", password_in(file)),
        Place(f"postgresql://{BY_CERTIFICATE}@{base}&sslcert={certificate}&sslkey={key}", "test"),
    ):
        await check(place)
        catalog = await PostgresCatalog.open(place, "test")
        assert await catalog.deployment() is None
        await catalog.close()
    with pytest.raises(UnfitDatabase, match="does not let this role in"):
        await check(Place(f"postgresql://{BY_CERTIFICATE}@{base}", "test"))


async def test_of_several_hosts_the_one_that_takes_writes_is_used(ground: Ground, fresh: Fresh) -> None:
    """The first is not there, the second is a standby."""
    standby = await asyncio.to_thread(standby_of, ground)
    try:
        hosts = f"127.0.0.1:1,127.0.0.1:{standby.port},127.0.0.1:{ground.cluster.port}"
        url = f"postgresql://{SERVER}@{hosts}/{fresh.name}?sslmode=disable"
        await fits(url)
        assert "false" == (await _say(url, "SELECT pg_is_in_recovery()::text"))[0]
        only = url.replace(f",127.0.0.1:{ground.cluster.port}/", "/")
        assert "cannot be reached" in await refusal(only)
    finally:
        standby.stop()
        shutil.rmtree(standby.directory, ignore_errors=True)


def test_a_command_says_it_in_one_line_with_the_usual_exit_code_and_no_password(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = deployed(tmp_path / "here", {})
    (here.directory / "password").write_text(PASSWORD)
    monkeypatch.setenv("KEYRACK_CONFIG", str(here.configuration))
    monkeypatch.setenv("KEYRACK_CATALOG__PASSWORD_FILE", "password")
    monkeypatch.setenv("KEYRACK_CATALOG__URL", fresh.url)
    assert ran(["database", "check"])[0] == 0
    owner(fresh, f"GRANT DELETE ON journal TO {SERVER}")

    code, out, err = ran(["instance", "list"])
    assert (code, out) == (2, "")
    assert "catalog.url: it cannot be the catalog: the role 'keyrack' has the right DELETE on journal" in err
    assert len(err.splitlines()) == 1
    code, out, err = ran(["database", "check"])
    assert code == 3
    assert "✗ role" in out
    monkeypatch.setenv("KEYRACK_CATALOG__URL", "postgresql://keyrack@127.0.0.1:1/keyrack")
    code, out, more = ran(["instance", "list"])
    assert code == 1
    assert "cannot be reached" in more
    monkeypatch.setenv("KEYRACK_CATALOG__URL", f"postgresql://keyrack:{PASSWORD}@127.0.0.1/keyrack")
    code, out, last = ran(["instance", "list"])
    assert code == 2
    assert PASSWORD not in err + more + last + out


def owner(fresh: Fresh, *statements: str) -> None:
    fresh.cluster.sql(*statements, database=fresh.name, role=OWNER)


async def _say(url: str, statement: str) -> Any:
    connection = await connect(Place(url, "test"))
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        connection.terminate()


async def _roles(ground: Ground, fresh: Fresh) -> None:
    """A role with a password and one without, each with the rights of a server."""
    place = Place(ground.cluster.url(ACCOUNT, fresh.name), "test")
    await databases.prepare(place, SCRAM, create=True, password=PASSWORD)
    await databases.prepare(place, BY_CERTIFICATE, create=True)
