"""What the role of the servers may not do to the journal, not even by way of what runs with the rights of its owner."""

import subprocess

import pytest

from keyrack.testing.postgres import SERVER, binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")

A_RECORD = "INSERT INTO journal (chain, sequence, text, hash) VALUES ('a', 1, '{}', 'x'), ('a', 2, '{}', 'y')"
FORGE = (
    "CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " ALTER TABLE public.journal DISABLE TRIGGER ALL; UPDATE public.journal SET text = 'forged'; RETURN OLD; END $$",
    "CREATE TEMP TABLE journal (chain TEXT, sequence BIGINT)",
    "CREATE TRIGGER forges BEFORE DELETE ON pg_temp.journal FOR EACH ROW EXECUTE FUNCTION pg_temp.forge()",
    "GRANT ALL ON pg_temp.journal TO PUBLIC",
    "INSERT INTO pg_temp.journal VALUES ('a', 1)",
    "SELECT cut_journal('a', 1)",
)
PRETEND = (
    "CREATE TEMP TABLE journal_cut (chain TEXT, through BIGINT)",
    "GRANT ALL ON pg_temp.journal_cut TO PUBLIC",
    "INSERT INTO pg_temp.journal_cut VALUES ('a', 9)",
    "SELECT cut_journal('a', 1)",
)


@pytest.mark.parametrize("statements", [FORGE, PRETEND], ids=["a trigger of its own", "a cut of its own"])
def test_a_temporary_table_stands_in_for_no_table_of_the_owner(postgres: Fresh, statements: tuple[str, ...]) -> None:
    """``cut_journal`` runs as the owner; what it would find first in ``pg_temp`` is the server's, triggers and all."""
    postgres.make()
    postgres.cluster.sql(A_RECORD, database=postgres.name, role=SERVER)

    with pytest.raises(subprocess.CalledProcessError) as refused:
        postgres.cluster.sql(*statements, database=postgres.name, role=SERVER)

    assert "the cut accounts for no record that is there" in refused.value.stderr
    assert postgres.cluster.sql("SELECT text FROM public.journal", database=postgres.name) == "{}\n{}"


def test_a_cut_that_names_no_record_removes_none(postgres: Fresh) -> None:
    """It has to name the last record that goes by its hash, and a checkpoint that reaches as far."""
    postgres.make()

    def ask(*statements: str) -> str:
        return postgres.cluster.sql(*statements, database=postgres.name, role=SERVER)

    ask(
        A_RECORD,
        "INSERT INTO journal_checkpoint VALUES (1, 0, 0, '{}', 'k', 's'), (2, 0, 1, '{}', 'k', 's')",
        "INSERT INTO journal_cut VALUES (2, 'a', 1, 'z', 1, 'd', 0, 'eve')",
    )
    with pytest.raises(subprocess.CalledProcessError, match="psql"):
        ask("SELECT cut_journal('a', 1)")
    assert ask("SELECT count(*) FROM journal") == "2"

    ask("INSERT INTO journal_cut VALUES (1, 'a', 2, 'y', 2, 'd', 0, 'eve')")
    with pytest.raises(subprocess.CalledProcessError, match="psql"):
        ask("SELECT cut_journal('a', 2)")
    assert ask("SELECT count(*) FROM journal") == "2"


def test_a_cut_that_names_its_last_record_removes_it_and_those_before(postgres: Fresh) -> None:
    """As retention writes it down; the last record of the journal stays."""
    postgres.make()
    postgres.cluster.sql(
        A_RECORD,
        "INSERT INTO journal_checkpoint VALUES (1, 0, 1, '{}', 'k', 's')",
        "INSERT INTO journal_cut VALUES (1, 'a', 1, 'x', 1, 'd', 0, 'ada')",
        "SELECT cut_journal('a', 1)",
        database=postgres.name,
        role=SERVER,
    )
    assert postgres.cluster.sql("SELECT sequence FROM journal", database=postgres.name) == "2"
