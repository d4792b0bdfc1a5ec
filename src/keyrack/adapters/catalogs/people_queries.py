"""Every statement about people, API keys and log-ins."""

from typing import Final

PERSON: Final = (
    "identifier, name, source, subject, password, display, grants, created_at, created_by, disabled_at, removed_at,"
    " last_login_at, revision"
)
PERSONS: Final = f"SELECT {PERSON} FROM person ORDER BY name"
ONE_PERSON: Final = f"SELECT {PERSON} FROM person WHERE identifier = ?"
PERSON_CALLED: Final = f"SELECT {PERSON} FROM person WHERE name = ?"
PERSON_MEANT: Final = f"SELECT {PERSON} FROM person WHERE source = ? AND subject = ? AND subject <> ''"
REVISION: Final = "SELECT revision, disabled_at FROM person WHERE identifier = ?"
ADD_PERSON: Final = f"INSERT INTO person ({PERSON}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Neither the name nor where somebody comes from ever changes.
CHANGE_PERSON: Final = """
    UPDATE person SET password = ?, display = ?, grants = ?, disabled_at = ?, removed_at = ?,
        last_login_at = ?, revision = ?
    WHERE identifier = ? AND name = ? AND source = ? AND subject = ?"""
NOTE_PERSON: Final = "UPDATE person SET last_login_at = ?, display = ? WHERE identifier = ?"

API_KEY: Final = "identifier, person, name, digest, roles, created_at, expires_at, last_used_at, revoked_at"
API_KEYS: Final = f"SELECT {API_KEY} FROM api_key ORDER BY created_at, identifier"
API_KEYS_OF: Final = f"SELECT {API_KEY} FROM api_key WHERE person = ? ORDER BY created_at, identifier"
ONE_API_KEY: Final = f"SELECT {API_KEY} FROM api_key WHERE identifier = ?"
PUT_API_KEY: Final = f"""
    INSERT INTO api_key ({API_KEY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identifier) DO UPDATE SET name = excluded.name,
        revoked_at = coalesce(api_key.revoked_at, excluded.revoked_at)"""
USE_API_KEY: Final = "UPDATE api_key SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE identifier = ?"
API_KEY_STANDS: Final = "SELECT 1 FROM api_key WHERE identifier = ? AND person = ? AND revoked_at IS NULL"

SESSION: Final = "digest, person, created_at, seen_at, expires_at, stepped_up_at, address"
ONE_SESSION: Final = f"SELECT {SESSION} FROM login_session WHERE digest = ?"
SESSIONS_OF: Final = f"SELECT {SESSION} FROM login_session WHERE person = ? ORDER BY created_at, digest"
ADD_SESSION: Final = f"INSERT INTO login_session ({SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?)"
SEE_SESSION: Final = """
    UPDATE login_session SET seen_at = max(seen_at, ?),
        stepped_up_at = nullif(max(coalesce(stepped_up_at, 0), coalesce(CAST(? AS BIGINT), 0)), 0) WHERE digest = ?"""
END_SESSION: Final = "DELETE FROM login_session WHERE digest = ?"
END_SESSIONS_OF: Final = "DELETE FROM login_session WHERE person = ? AND digest <> ?"
END_SESSIONS_BEFORE: Final = "DELETE FROM login_session WHERE expires_at <= ?"
SESSION_STANDS: Final = "SELECT 1 FROM login_session WHERE digest = ? AND person = ?"

LINK: Final = "digest, person, expires_at, used_at"
ONE_LINK: Final = f"SELECT {LINK} FROM one_time_link WHERE digest = ?"
ADD_LINK: Final = f"INSERT INTO one_time_link ({LINK}) VALUES (?, ?, ?, ?)"
LINK_STANDS: Final = "SELECT 1 FROM one_time_link WHERE digest = ? AND person = ? AND used_at IS NULL"
USE_LINK: Final = "UPDATE one_time_link SET used_at = ? WHERE digest = ?"
END_LINKS_OF: Final = "DELETE FROM one_time_link WHERE person = ? AND used_at IS NULL"

ATTEMPT: Final = "name, failures, last_at, free_at, version"
ONE_ATTEMPT: Final = f"SELECT {ATTEMPT} FROM attempt WHERE name = ?"
PUT_ATTEMPT: Final = f"""
    INSERT INTO attempt ({ATTEMPT}) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at,
        free_at = excluded.free_at, version = excluded.version"""
FORGET_ATTEMPT: Final = "DELETE FROM attempt WHERE name = ?"
FORGET_ATTEMPTS_BEFORE: Final = "DELETE FROM attempt WHERE last_at < ?"
