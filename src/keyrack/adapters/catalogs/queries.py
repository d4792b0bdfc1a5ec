"""Every statement of the catalog, as text, in the SQL that SQLite and PostgreSQL share; ``?`` marks a parameter."""

from collections.abc import Sequence
from typing import Final

# Authority: the certificate and its instance, both as they are now.
AUTHORISE: Final = """
    SELECT certificate.instance FROM certificate JOIN instance ON instance.identifier = certificate.instance
    WHERE certificate.fingerprint = ? AND instance.status = 'Installed'"""

# What every transaction begins with: what has changed, and the end of this process's journal chain.
OPENING: Final = """
    SELECT generation.number, generation.changes, head.sequence, head.hash FROM generation
    LEFT JOIN (SELECT sequence, hash FROM journal WHERE chain = ? ORDER BY sequence DESC LIMIT 1) AS head ON 1 = 1"""
GENERATION: Final = "SELECT number FROM generation"

INSTANCES: Final = """
    SELECT identifier, name, status, key_manager, root_key, storage, created_at FROM instance ORDER BY name"""
PUT_INSTANCE: Final = """
    INSERT INTO instance (identifier, name, status, key_manager, root_key, storage, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identifier) DO UPDATE SET name = excluded.name, status = excluded.status,
        key_manager = excluded.key_manager, root_key = excluded.root_key, storage = excluded.storage,
        created_at = excluded.created_at"""

_CERTIFICATE: Final = "SELECT fingerprint, instance, subject, not_before, not_after, der, added_at FROM certificate"
CERTIFICATES: Final = f"{_CERTIFICATE} ORDER BY added_at, fingerprint"
CERTIFICATES_OF: Final = f"{_CERTIFICATE} WHERE instance = ? ORDER BY added_at, fingerprint"
ADD_CERTIFICATE: Final = """
    INSERT INTO certificate (fingerprint, instance, subject, not_before, not_after, der, added_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
REMOVE_CERTIFICATE: Final = "DELETE FROM certificate WHERE fingerprint = ?"

OBJECT_COLUMNS: Final = (
    "identifier, instance, object_type, state, version, key_format_type, key_compression_type, subtype, wrapped,"
    " glance, attributes, sealed, standard_key"
)
# Last the count of changes, so that the version read here is known to stand while the count does.
LOAD: Final = f"""
    SELECT {OBJECT_COLUMNS}, (SELECT changes FROM generation) FROM object WHERE identifier = ? AND instance = ?"""
PAGE: Final = f"""
    SELECT {OBJECT_COLUMNS} FROM object WHERE instance = ?
        AND number > coalesce((SELECT number FROM object WHERE identifier = ? AND instance = ?), 0)
    ORDER BY number LIMIT ?"""
COUNT: Final = "SELECT count(*) FROM object WHERE instance = ?"
SEALED: Final = "SELECT sealed FROM object WHERE identifier = ? AND instance = ?"

# Before a change: where the row is, whose, at which version, and the rows of "attribute" that it has.
SEEN: Final = "SELECT number, instance, version, indexed FROM object WHERE identifier = ?"
INSERT_OBJECT: Final = """
    INSERT INTO object (identifier, instance, object_type, state, version, initial_date, key_format_type,
        key_compression_type, subtype, wrapped, glance, attributes, indexed, sealed, standard_key)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
UPDATE_OBJECT: Final = """
    UPDATE object SET state = ?, version = ?, key_format_type = ?, key_compression_type = ?, subtype = ?, wrapped = ?,
        glance = ?, attributes = ?, indexed = ?, sealed = ?, standard_key = ?
    WHERE number = ? AND version = ?"""
ADD_ATTRIBUTE: Final = "INSERT INTO attribute (instance, name, value, object) VALUES (?, ?, ?, ?)"
REMOVE_ATTRIBUTE: Final = "DELETE FROM attribute WHERE instance = ? AND name = ? AND value = ? AND object = ?"
# A destroyed object (states 5 and 6) has given its names up.
OTHER_BEARER: Final = """
    SELECT 1 FROM attribute JOIN object ON object.number = attribute.object
    WHERE attribute.instance = ? AND attribute.name = 'Name' AND attribute.value = ? AND attribute.object <> ?
        AND object.state NOT IN (5, 6) LIMIT 1"""

PUT_INTENT: Final = f"""
    INSERT INTO intent ({OBJECT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
SETTLE: Final = "DELETE FROM intent WHERE identifier = ?"
INTENTS: Final = f"SELECT {OBJECT_COLUMNS} FROM intent ORDER BY rowid"

ADD_RECORD: Final = "INSERT INTO journal (chain, sequence, text, hash) VALUES (?, ?, ?, ?)"
JOURNAL: Final = "SELECT number, chain, sequence, text, hash FROM journal WHERE number > ? ORDER BY number LIMIT ?"


JOURNAL_HEADS: Final = "SELECT chain, max(sequence) FROM journal GROUP BY chain"
# Canonical texts begin with their action: most of a journal is told apart without parsing it.
LAST_FETCHES: Final = (
    "SELECT json_extract(text, '$.target'), max(json_extract(text, '$.at')) FROM journal"
    " WHERE substr(text, 1, 16) = '{\"action\":\"Get\",' AND json_extract(text, '$.instance') = ?"
    " AND json_extract(text, '$.outcome') = 'success' GROUP BY 1"
)


def search(columns: Sequence[str], attributes: int) -> str:
    """The search of one instance by equal ``columns`` of object, and by ``attributes`` pairs of name and text.

    Parameters: the instance, name and text of each pair; then the instance and the value of each column. The pairs are
    joined first, so that the index narrows before any object is read.
    """
    pairs = "".join(
        f"(SELECT object FROM attribute WHERE instance = ? AND name = ? AND value = ?) AS pair{n} CROSS JOIN "
        for n in range(attributes)
    )
    wanted = ["object.instance = ?"]
    wanted += [f"object.{column} = ?" for column in columns]
    wanted += [f"object.number = pair{n}.object" for n in range(attributes)]
    named = ", ".join(f"object.{column.strip()}" for column in OBJECT_COLUMNS.split(","))
    return f"SELECT {named} FROM {pairs}object WHERE {' AND '.join(wanted)} ORDER BY object.initial_date, object.number"
