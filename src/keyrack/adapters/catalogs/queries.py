"""Every statement of the catalog, as text, in the SQL that SQLite and PostgreSQL share; ``?`` marks a parameter."""

from collections.abc import Sequence
from typing import Final

# Authority: the certificate and its instance, both as they are now, and since when the instance is sealed.
AUTHORISE: Final = """
    SELECT certificate.instance, instance.sealed_at
    FROM certificate JOIN instance ON instance.identifier = certificate.instance
    WHERE certificate.fingerprint = ? AND (instance.status = 'Installed'
        OR instance.status = 'Configuring' AND instance.former_root_key IS NOT NULL)"""

# What every transaction begins with: what has changed, and the end of this process's journal chain.
OPENING: Final = """
    SELECT generation.number, generation.changes, generation.rollback_at, head.sequence, head.hash
    FROM generation
    LEFT JOIN (SELECT sequence, hash FROM journal WHERE chain = ? ORDER BY sequence DESC LIMIT 1) AS head ON 1 = 1"""
GENERATION: Final = "SELECT number FROM generation"

_INSTANCE = (
    "identifier, name, description, status, key_manager, root_key, storage, created_at, created_by, updated_at,"
    " updated_by, hierarchy, sealed_at, former_key_manager, former_root_key, reason, quota_keys, quota_certificates,"
    " quota_requests, credential, dual_control_at"
)
INSTANCES: Final = f"SELECT {_INSTANCE} FROM instance ORDER BY name, key_manager"
ONE_INSTANCE: Final = f"SELECT {_INSTANCE} FROM instance WHERE identifier = ?"
PUT_INSTANCE: Final = f"""
    INSERT INTO instance ({_INSTANCE}) VALUES ({", ".join("?" * 21)})
    ON CONFLICT (identifier) DO UPDATE SET name = excluded.name, description = excluded.description,
        status = excluded.status, key_manager = excluded.key_manager, root_key = excluded.root_key,
        storage = excluded.storage, created_at = excluded.created_at, created_by = excluded.created_by,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by, hierarchy = excluded.hierarchy,
        sealed_at = excluded.sealed_at, former_key_manager = excluded.former_key_manager,
        former_root_key = excluded.former_root_key, reason = excluded.reason, quota_keys = excluded.quota_keys,
        quota_certificates = excluded.quota_certificates, quota_requests = excluded.quota_requests,
        credential = excluded.credential, dual_control_at = excluded.dual_control_at"""
TOUCH: Final = "UPDATE instance SET updated_at = ?, updated_by = ? WHERE identifier = ?"
HAS_INSTANCE: Final = "SELECT 1 FROM instance WHERE identifier = ?"
OTHER_OF_NAME: Final = "SELECT identifier FROM instance WHERE name = ?"
OTHER_INSTANCES: Final = "SELECT count(*) FROM instance WHERE key_manager = ? AND identifier <> ?"
# A destroyed object (states 5 and 6) has no material any more.
USED: Final = """
    SELECT 1 FROM object WHERE instance = ? AND state NOT IN (5, 6)
    UNION ALL SELECT 1 FROM intent WHERE instance = ? LIMIT 1"""
LIVING: Final = "SELECT objects FROM living WHERE instance = ?"
KEY_QUOTA: Final = """
    SELECT instance.quota_keys, coalesce(living.objects, 0) FROM instance
    LEFT JOIN living ON living.instance = instance.identifier WHERE instance.identifier = ?"""
CERTIFICATE_QUOTA: Final = """
    SELECT quota_certificates, (SELECT count(*) FROM certificate WHERE instance = ?)
        + (SELECT count(*) FROM authority WHERE instance = ?)
    FROM instance WHERE identifier = ?"""
# What a destroyed object still has sealed can be taken back; what it still has in a key manager is purged with it.
HANGS: Final = """
    SELECT 1 FROM object WHERE instance = ?
        AND (sealed IS NOT NULL OR standard_key IS NOT NULL OR state NOT IN (5, 6))
    UNION ALL SELECT 1 FROM intent WHERE instance = ?
    UNION ALL SELECT 1 FROM certificate WHERE instance = ?
    UNION ALL SELECT 1 FROM authority WHERE instance = ? LIMIT 1"""
WAYS_IN: Final = """
    SELECT fingerprint FROM certificate WHERE instance = ?
    UNION ALL SELECT fingerprint FROM authority WHERE instance = ?"""
REMOVE_LEFTOVERS: Final = "DELETE FROM leftover WHERE instance = ?"
# In an order that leaves no reference without its row.
REMOVE_INSTANCE: Final = (
    "DELETE FROM attribute WHERE instance = ?",
    "DELETE FROM object WHERE instance = ?",
    "DELETE FROM certificate WHERE instance = ?",
    "DELETE FROM admission WHERE instance = ?",
    "DELETE FROM wrapping_key WHERE instance = ?",
    "DELETE FROM living WHERE instance = ?",
    "DELETE FROM validation WHERE instance = ?",
    "DELETE FROM instance WHERE identifier = ?",
)

_WRAPPING_KEY = "created_at, sealed, standard_key, withheld_at, version, identifier, instance"
WRAPPING_KEY: Final = f"SELECT {_WRAPPING_KEY} FROM wrapping_key WHERE instance = ?"
ADD_WRAPPING_KEY: Final = f"INSERT INTO wrapping_key ({_WRAPPING_KEY}) VALUES (?, ?, ?, ?, ?, ?, ?)"
CHANGE_WRAPPING_KEY: Final = """
    UPDATE wrapping_key SET created_at = ?, sealed = ?, standard_key = ?, withheld_at = ?, version = ?
    WHERE identifier = ? AND instance = ?"""

_LEFTOVER = "key_manager, standard_key, instance, unique_identifier, why, at"
LEFTOVERS: Final = f"SELECT {_LEFTOVER} FROM leftover ORDER BY at, number"
LEFTOVERS_OF: Final = f"SELECT {_LEFTOVER} FROM leftover WHERE instance = ? ORDER BY at, number"
ADD_LEFTOVER: Final = f"""
    INSERT INTO leftover ({_LEFTOVER}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key_manager, standard_key) DO NOTHING"""
CLEAR_LEFTOVER: Final = "DELETE FROM leftover WHERE key_manager = ? AND standard_key = ?"

_VALIDATION = (
    "instance, at, since, reason, told, root_key_state, root_key_version, behind, synced_at, withheld, strangers"
)
VALIDATIONS: Final = f"SELECT {_VALIDATION} FROM validation"
# What was found out about an instance that is gone meanwhile is of no use.
PUT_VALIDATION: Final = f"""
    INSERT INTO validation ({_VALIDATION}) SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT),
        CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT),
        CAST(? AS BIGINT), CAST(? AS BIGINT)
        WHERE EXISTS (SELECT 1 FROM instance WHERE identifier = ?)
    ON CONFLICT (instance) DO UPDATE SET at = excluded.at, since = excluded.since, reason = excluded.reason,
        told = excluded.told, root_key_state = excluded.root_key_state, root_key_version = excluded.root_key_version,
        behind = excluded.behind, synced_at = excluded.synced_at, withheld = excluded.withheld,
        strangers = excluded.strangers"""

_CERTIFICATE = "fingerprint, instance, name, subject, not_before, not_after, der, added_at, added_by"
CERTIFICATES: Final = f"SELECT {_CERTIFICATE} FROM certificate ORDER BY added_at, fingerprint"
CERTIFICATES_OF: Final = f"SELECT {_CERTIFICATE} FROM certificate WHERE instance = ? ORDER BY added_at, fingerprint"
COUNT_CERTIFICATES: Final = "SELECT count(*) FROM certificate WHERE instance = ?"
ADD_CERTIFICATE: Final = f"INSERT INTO certificate ({_CERTIFICATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
REMOVE_CERTIFICATE: Final = "DELETE FROM certificate WHERE fingerprint = ?"
ADMIT: Final = """
    INSERT INTO admission (instance, fingerprint, added_by) VALUES (?, ?, ?)
    ON CONFLICT (instance, fingerprint) DO UPDATE SET added_by = excluded.added_by"""
ADMISSIONS: Final = "SELECT fingerprint, added_by FROM admission WHERE instance = ?"

OBJECT_COLUMNS: Final = (
    "identifier, instance, object_type, state, version, key_format_type, key_compression_type, subtype, wrapped,"
    " glance, attributes, sealed, standard_key, withheld_at"
)
# Last the count of changes, so that the version read here is known to stand while the count does.
LOAD: Final = f"""
    SELECT {OBJECT_COLUMNS}, (SELECT changes FROM generation) FROM object WHERE identifier = ? AND instance = ?"""
PAGE: Final = f"""
    SELECT {OBJECT_COLUMNS} FROM object WHERE instance = ?
        AND number > coalesce((SELECT number FROM object WHERE identifier = ? AND instance = ?), 0)
    ORDER BY number LIMIT ?"""
COUNT: Final = "SELECT count(*) FROM object WHERE instance = ?"

AUTHOR_COLUMNS: Final = "created_by, changed_by, destroyed_by"
LISTED: Final = f"SELECT {OBJECT_COLUMNS}, {AUTHOR_COLUMNS} FROM object WHERE identifier = ? AND instance = ?"
# The state that the dates make of the one that was written down last, as domain.lifecycle.tick does.
STATE_NOW: Final = """
    CASE WHEN state = 2 AND deactivation_date <= ? THEN 3
        WHEN state = 1 AND activation_date <= ? THEN CASE WHEN deactivation_date <= ? THEN 3 ELSE 2 END
        ELSE state END"""
SEALED: Final = "SELECT sealed FROM object WHERE identifier = ? AND instance = ?"

# Before a change: where the row is, whose, at which version, and the rows of "attribute" that it has.
SEEN: Final = "SELECT number, instance, version, indexed FROM object WHERE identifier = ?"
INSERT_OBJECT: Final = """
    INSERT INTO object (identifier, instance, object_type, state, version, initial_date, key_format_type,
        key_compression_type, subtype, wrapped, glance, attributes, indexed, sealed, standard_key, withheld_at,
        activation_date, deactivation_date, changed_by, created_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        coalesce((SELECT created_by FROM intent WHERE identifier = ?), ?))
    RETURNING number"""
UPDATE_OBJECT: Final = """
    UPDATE object SET state = ?, version = ?, key_format_type = ?, key_compression_type = ?, subtype = ?, wrapped = ?,
        glance = ?, attributes = ?, indexed = ?, sealed = ?, standard_key = ?, withheld_at = ?,
        activation_date = ?, deactivation_date = ?, changed_by = ?,
        destroyed_by = CASE WHEN destroyed_by = '' THEN ? ELSE destroyed_by END
    WHERE number = ? AND version = ?"""
ADD_ATTRIBUTE: Final = "INSERT INTO attribute (instance, name, value, object) VALUES (?, ?, ?, ?)"
REMOVE_ATTRIBUTE: Final = "DELETE FROM attribute WHERE instance = ? AND name = ? AND value = ? AND object = ?"
# A destroyed object (states 5 and 6) has given its names up.
OTHER_BEARER: Final = """
    SELECT 1 FROM attribute JOIN object ON object.number = attribute.object
    WHERE attribute.instance = ? AND attribute.name = 'Name' AND attribute.value = ? AND attribute.object <> ?
        AND object.state NOT IN (5, 6) LIMIT 1"""

PUT_INTENT: Final = f"""
    INSERT INTO intent ({OBJECT_COLUMNS}, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INTENDED: Final = "SELECT 1 FROM intent WHERE identifier = ?"
SETTLE: Final = "DELETE FROM intent WHERE identifier = ?"
INTENTS: Final = f"SELECT {OBJECT_COLUMNS} FROM intent ORDER BY intent.rowid"

ADD_RECORD: Final = "INSERT INTO journal (chain, sequence, text, hash) VALUES (?, ?, ?, ?)"
# Records up to this number are all there: where several nodes write, a smaller number may be committed later.
SETTLED: Final = "SELECT number FROM settled"
JOURNAL: Final = """
    SELECT number, chain, sequence, text, hash FROM journal WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"""


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


def listing(states: int) -> str:
    """A page of objects in so many states. Parameters: instance, three times the time, the states, limit, offset."""
    return (
        f"SELECT {OBJECT_COLUMNS}, {AUTHOR_COLUMNS} FROM object WHERE {_in_states(states)}"
        " ORDER BY initial_date, number LIMIT ? OFFSET ?"
    )


def count_listing(states: int) -> str:
    """How many they are. Parameters: instance, three times the time, the states."""
    return f"SELECT count(*) FROM object WHERE {_in_states(states)}"


def _in_states(states: int) -> str:
    return f"instance = ? AND {STATE_NOW} IN ({', '.join('?' * states)})"
