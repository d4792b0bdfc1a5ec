"""The statements about who is let in beside pinned certificates; ``?`` marks a parameter."""

from typing import Final

SEEN_AT_MOST: Final = 500
"""Certificates that knocked which are kept, and as many that authorities have let in."""

# The act of trust as it is now, of an installed instance, for a leaf that is neither pinned anywhere nor barred there.
ADMITTED: Final = """
    SELECT authority.instance, instance.sealed_at
    FROM authority JOIN instance ON instance.identifier = authority.instance
    WHERE authority.number = ? AND authority.instance = ? AND authority.fingerprint = ?
        AND (instance.status = 'Installed'
            OR instance.status = 'Configuring' AND instance.former_root_key IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM certificate WHERE fingerprint = ?)
        AND NOT EXISTS (SELECT 1 FROM barred WHERE barred.instance = authority.instance AND barred.fingerprint = ?)"""

_AUTHORITY = (
    "number, fingerprint, instance, name, subject, subject_pattern, san_pattern, not_before, not_after, der, added_at,"
    " added_by"
)
AUTHORITIES: Final = f"SELECT {_AUTHORITY} FROM authority ORDER BY number"
AUTHORITIES_OF: Final = f"SELECT {_AUTHORITY} FROM authority WHERE instance = ? ORDER BY number"
ADD_AUTHORITY: Final = (
    f"INSERT INTO authority ({_AUTHORITY.removeprefix('number, ')}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
REMOVE_AUTHORITY: Final = "DELETE FROM authority WHERE instance = ? AND fingerprint = ?"

BARRED: Final = "SELECT instance, fingerprint FROM barred ORDER BY instance, fingerprint"
BARRED_OF: Final = "SELECT instance, fingerprint FROM barred WHERE instance = ? ORDER BY fingerprint"
BAR: Final = "INSERT INTO barred (instance, fingerprint) VALUES (?, ?) ON CONFLICT DO NOTHING"
UNBAR: Final = "DELETE FROM barred WHERE instance = ? AND fingerprint = ?"

_SEEN = "fingerprint, der, subject, address, reason, first_at, last_at, count, instance, authority"
# Where it was pinned meanwhile, it is no news any more.
NOTE_SEEN: Final = f"""
    INSERT INTO seen_certificate ({_SEEN}) SELECT CAST(? AS TEXT), CAST(? AS BLOB), CAST(? AS TEXT), CAST(? AS TEXT),
        CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT)
        WHERE NOT EXISTS (SELECT 1 FROM certificate WHERE fingerprint = ?)
    ON CONFLICT (fingerprint) DO UPDATE SET der = excluded.der, subject = excluded.subject, address = excluded.address,
        reason = excluded.reason, last_at = max(seen_certificate.last_at, excluded.last_at),
        count = seen_certificate.count + excluded.count,
        instance = excluded.instance, authority = excluded.authority"""
# One address that shows certificate after certificate pushes out its own, and not the one that somebody waits for.
CUT_SEEN: Final = f"""
    DELETE FROM seen_certificate WHERE fingerprint IN (
        SELECT fingerprint FROM (
            SELECT fingerprint, row_number() OVER (PARTITION BY authority <> '' ORDER BY turn, last_at DESC) AS place
            FROM (
                SELECT fingerprint, authority, last_at,
                    row_number() OVER (PARTITION BY authority <> '', address ORDER BY last_at DESC) AS turn
                FROM seen_certificate
            ) AS turns
        ) AS places WHERE place > {SEEN_AT_MOST})"""
COUNT_SEEN: Final = "SELECT count(*) FROM seen_certificate"
FORGET_SEEN: Final = "DELETE FROM seen_certificate WHERE fingerprint = ?"
_UNPINNED = "NOT EXISTS (SELECT 1 FROM certificate WHERE certificate.fingerprint = seen_certificate.fingerprint)"
SEEN_CERTIFICATES: Final = f"""
    SELECT {_SEEN} FROM seen_certificate WHERE authority = '' AND {_UNPINNED}
    ORDER BY last_at DESC, first_at DESC, fingerprint"""
ADMITTED_CERTIFICATES: Final = f"""
    SELECT {_SEEN} FROM seen_certificate WHERE {_UNPINNED}
        AND EXISTS (SELECT 1 FROM authority WHERE authority.instance = seen_certificate.instance
            AND authority.fingerprint = seen_certificate.authority)
        AND NOT EXISTS (SELECT 1 FROM barred WHERE barred.instance = seen_certificate.instance
            AND barred.fingerprint = seen_certificate.fingerprint)
    ORDER BY last_at DESC, first_at DESC, fingerprint"""

ALARM: Final = "INSERT INTO expiry_alarm (fingerprint, days, at) VALUES (?, ?, ?)"
ALARMS: Final = "SELECT fingerprint, days, at FROM expiry_alarm ORDER BY at, fingerprint, days"

LAST_USES: Final = """
    SELECT substr(json_extract(text, '$.initiator'), 15), max(json_extract(text, '$.at')) FROM journal
    WHERE number > ? AND json_extract(text, '$.instance') = ? AND json_extract(text, '$.outcome') = 'success'
        AND substr(json_extract(text, '$.initiator'), 1, 14) = 'CertificateID-' GROUP BY 1"""
