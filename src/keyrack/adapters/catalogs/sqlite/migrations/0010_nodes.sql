-- Whose catalog it is, who serves from it, and how its copies fare.

-- Restored from a copy, and not to be changed until what came after it is accounted for: since when, and why.
ALTER TABLE generation ADD COLUMN rollback_at INTEGER;
ALTER TABLE generation ADD COLUMN rollback_why TEXT NOT NULL DEFAULT '';

CREATE TABLE deployment (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    identifier  TEXT NOT NULL
);

CREATE TABLE node (
    name        TEXT PRIMARY KEY,
    token       TEXT NOT NULL,
    version     TEXT NOT NULL,
    schema      INTEGER NOT NULL,
    address     TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
);

CREATE TABLE report (
    kind  TEXT PRIMARY KEY,
    at    INTEGER NOT NULL,
    good  INTEGER NOT NULL,
    told  TEXT NOT NULL,
    keys  INTEGER NOT NULL
);

-- What an embedded key manager's database has come to, change by change, for the nodes that have a copy of it.
CREATE TABLE key_manager_change (
    key_manager  TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    text         TEXT NOT NULL,
    PRIMARY KEY (key_manager, revision)
);

-- Up to which number every record of the journal is there: here all of them, because one writer commits at a time.
CREATE VIEW settled (number) AS SELECT coalesce(max(number), 0) FROM journal;

-- Pages of an instance in the order of creation, for those who walk through all of it.
CREATE INDEX object_in_order ON object (instance, number);
