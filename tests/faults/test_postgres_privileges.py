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

    assert "a journal record is never removed" in refused.value.stderr
    assert postgres.cluster.sql("SELECT text FROM public.journal", database=postgres.name) == "{}\n{}"
