-- Key managers elsewhere: wrapping keys between root keys and keys, sealing and moving of instances, standard keys that
-- are gone or still to be deleted, and what the last look at each key manager has shown.

ALTER TABLE instance ADD COLUMN hierarchy TEXT NOT NULL DEFAULT 'direct';
ALTER TABLE instance ADD COLUMN sealed_at INTEGER;
-- Where the keys come from while they move: both are set, or none.
ALTER TABLE instance ADD COLUMN former_key_manager TEXT;
ALTER TABLE instance ADD COLUMN former_root_key TEXT;

ALTER TABLE object ADD COLUMN withheld_at INTEGER;
ALTER TABLE intent ADD COLUMN withheld_at INTEGER;

CREATE TABLE wrapping_key (
    identifier    TEXT PRIMARY KEY,
    instance      TEXT NOT NULL UNIQUE REFERENCES instance (identifier),
    created_at    INTEGER NOT NULL,
    sealed        BLOB NOT NULL,
    standard_key  TEXT,
    withheld_at   INTEGER,
    version       INTEGER NOT NULL
);

-- It refers to no instance: what is to be deleted in a key manager stays so, even if the instance went meanwhile.
CREATE TABLE leftover (
    number             INTEGER PRIMARY KEY,
    key_manager        TEXT NOT NULL,
    standard_key       TEXT NOT NULL,
    instance           TEXT NOT NULL,
    unique_identifier  TEXT NOT NULL,
    why                TEXT NOT NULL,
    at                 INTEGER NOT NULL,
    UNIQUE (key_manager, standard_key)
);

CREATE INDEX leftover_by_instance ON leftover (instance);

CREATE TABLE validation (
    instance          TEXT PRIMARY KEY REFERENCES instance (identifier),
    at                INTEGER NOT NULL,
    since             INTEGER NOT NULL,
    reason            TEXT NOT NULL,
    told              TEXT NOT NULL,
    root_key_state    INTEGER NOT NULL,
    root_key_version  TEXT NOT NULL,
    behind            INTEGER NOT NULL,
    synced_at         INTEGER,
    withheld          INTEGER NOT NULL,
    strangers         INTEGER NOT NULL
);
