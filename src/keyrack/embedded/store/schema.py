"""The tables of the key manager's database. Each row holds one record whole, as JSON, and a MAC over it.

The other columns repeat what is searched for; a row whose columns and record differ is refused. ``aliases`` and
``api_keys`` lead to the record that must confirm them. ``meta`` says, under its MAC, which change was the last one,
where the journal ends, and what all records come to: what is cut off, taken away or put back from before shows.
``keys_by_instance`` has all that lists filter and sort by: among 100,000 keys a page is found without reading the rows.
"""

FORMAT = 1

TABLES = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    keystore TEXT NOT NULL,
    revision INTEGER NOT NULL,
    journal_end INTEGER NOT NULL,
    journal_hash BLOB NOT NULL,
    tally BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    ring TEXT NOT NULL,
    name TEXT NOT NULL,
    extractable INTEGER NOT NULL,
    imported INTEGER NOT NULL,
    state INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    rotated_at INTEGER,
    deleted_at INTEGER,
    expires_at INTEGER,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX keys_by_instance ON keys (
    instance, id, ring, extractable, imported, state, created_at, updated_at, rotated_at, deleted_at, expires_at
);
CREATE INDEX keys_by_name ON keys (instance, name);
CREATE INDEX keys_by_revision ON keys (revision);
CREATE TABLE aliases (
    instance TEXT NOT NULL,
    alias TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (instance, alias)
) STRICT, WITHOUT ROWID;
CREATE TABLE service_ids (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE api_keys (
    hash BLOB PRIMARY KEY,
    service_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sealed_values (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
"""
