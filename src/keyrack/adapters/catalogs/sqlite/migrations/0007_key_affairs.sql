-- Who fetched which key last, kept up to date from the journal; keys whose plaintext every process has to let go of; and
-- acts that wait for a second person.

-- The journal is the truth; this is what it comes to, up to the record "number" of fetch_cursor.
CREATE TABLE fetch (
    unique_identifier  TEXT PRIMARY KEY,
    instance           TEXT NOT NULL,
    at                 INTEGER NOT NULL,
    initiator          TEXT NOT NULL,
    address            TEXT NOT NULL,
    count              INTEGER NOT NULL
);

CREATE INDEX fetch_by_instance ON fetch (instance);

CREATE TABLE fetch_cursor (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    number    INTEGER NOT NULL
);

INSERT INTO fetch_cursor (only_row, number) VALUES (1, 0);

CREATE TRIGGER object_removed_with_fetch AFTER DELETE ON object
BEGIN DELETE FROM fetch WHERE unique_identifier = old.identifier; END;

-- Destroyed (states 5 and 6), recovered, purged, withheld: whoever has done it, every process lets go of the plaintext.
CREATE TABLE ending (
    number             INTEGER PRIMARY KEY AUTOINCREMENT,
    unique_identifier  TEXT NOT NULL,
    at                 INTEGER NOT NULL
);

CREATE TRIGGER object_ended AFTER UPDATE ON object
WHEN (new.state IN (5, 6)) <> (old.state IN (5, 6))
    OR (new.sealed IS NULL AND old.sealed IS NOT NULL)
    OR (new.withheld_at IS NOT NULL AND old.withheld_at IS NULL)
BEGIN INSERT INTO ending (unique_identifier, at) VALUES (new.identifier, CAST(strftime('%s', 'now') AS INTEGER)); END;

-- What is destroyed and still has its material, or a copy of it.
CREATE INDEX object_to_purge ON object (instance, number)
    WHERE state IN (5, 6) AND (sealed IS NOT NULL OR standard_key IS NOT NULL);

CREATE TABLE approval (
    identifier    TEXT PRIMARY KEY,
    act           TEXT NOT NULL,
    instance      TEXT NOT NULL,
    target        TEXT NOT NULL,
    arguments     TEXT NOT NULL,
    why           TEXT NOT NULL,
    asked_by      TEXT NOT NULL,
    asked_person  TEXT NOT NULL,
    asked_at      INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    agreed_by     TEXT NOT NULL,
    agreed_at     INTEGER,
    withdrawn_by  TEXT NOT NULL,
    withdrawn_at  INTEGER
);

CREATE INDEX approval_by_instance ON approval (instance, asked_at);
