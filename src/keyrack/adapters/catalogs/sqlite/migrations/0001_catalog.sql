-- The catalog of Keyrack: who may ask (instance, certificate), what is kept (object, attribute), what was done (journal).
-- Plain types only, so that PostgreSQL reads nearly the same text.

CREATE TABLE instance (
    identifier   TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    status       TEXT NOT NULL,
    key_manager  TEXT NOT NULL,
    root_key     TEXT NOT NULL,
    storage      TEXT NOT NULL,
    created_at   INTEGER NOT NULL
);

CREATE TABLE certificate (
    fingerprint  TEXT PRIMARY KEY,
    instance     TEXT NOT NULL REFERENCES instance (identifier),
    subject      TEXT NOT NULL,
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    der          BLOB NOT NULL,
    added_at     INTEGER NOT NULL
);

CREATE INDEX certificate_by_instance ON certificate (instance);

-- One row. The triggers count every change, whoever makes it: of an instance or a certificate in "number", of an object
-- that is there in "changes". As long as a number stands, what was read at that number need not be read again.
CREATE TABLE generation (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    number       INTEGER NOT NULL,
    changes      INTEGER NOT NULL
);

INSERT INTO generation (only_row, number, changes) VALUES (1, 1, 1);

CREATE TRIGGER instance_added AFTER INSERT ON instance BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER instance_changed AFTER UPDATE ON instance BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER instance_removed AFTER DELETE ON instance BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER certificate_added AFTER INSERT ON certificate BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER certificate_changed AFTER UPDATE ON certificate BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER certificate_removed AFTER DELETE ON certificate BEGIN UPDATE generation SET number = number + 1; END;

-- "number" is the order of creation. "attributes" is JSON, "glance" a few of them again in short, "indexed" the JSON list of this object's rows in "attribute".
CREATE TABLE object (
    number                INTEGER PRIMARY KEY,
    identifier            TEXT NOT NULL UNIQUE,
    instance              TEXT NOT NULL REFERENCES instance (identifier),
    object_type           INTEGER NOT NULL,
    state                 INTEGER NOT NULL,
    version               INTEGER NOT NULL,
    initial_date          INTEGER NOT NULL,
    key_format_type       INTEGER,
    key_compression_type  INTEGER,
    subtype               INTEGER,
    wrapped               INTEGER NOT NULL,
    glance                TEXT NOT NULL,
    attributes            TEXT NOT NULL,
    indexed               TEXT NOT NULL,
    sealed                BLOB,
    standard_key          TEXT
);

CREATE TRIGGER object_changed AFTER UPDATE ON object BEGIN UPDATE generation SET changes = changes + 1; END;
CREATE TRIGGER object_removed AFTER DELETE ON object BEGIN UPDATE generation SET changes = changes + 1; END;

CREATE INDEX object_by_instance ON object (instance, initial_date);

-- Objects about to be put into a key manager, and not yet in "object": what a crash leaves there is found by them.
CREATE TABLE intent (
    identifier            TEXT PRIMARY KEY,
    instance              TEXT NOT NULL REFERENCES instance (identifier),
    object_type           INTEGER NOT NULL,
    state                 INTEGER NOT NULL,
    version               INTEGER NOT NULL,
    key_format_type       INTEGER,
    key_compression_type  INTEGER,
    subtype               INTEGER,
    wrapped               INTEGER NOT NULL,
    glance                TEXT NOT NULL,
    attributes            TEXT NOT NULL,
    sealed                BLOB,
    standard_key          TEXT
);

-- What Locate finds by equality; a row only for what is there.
CREATE TABLE attribute (
    instance  TEXT NOT NULL,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    object    INTEGER NOT NULL,
    PRIMARY KEY (instance, name, value, object)
) WITHOUT ROWID;

-- "number" is the order of writing over all chains; hash = SHA-256 (hash before it in the chain, text).
CREATE TABLE journal (
    number    INTEGER PRIMARY KEY,
    chain     TEXT NOT NULL,
    sequence  INTEGER NOT NULL,
    text      TEXT NOT NULL,
    hash      BLOB NOT NULL,
    UNIQUE (chain, sequence)
);

CREATE TRIGGER journal_is_not_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE (ABORT, 'a journal record is never changed'); END;

CREATE TRIGGER journal_is_not_shortened BEFORE DELETE ON journal
BEGIN SELECT RAISE (ABORT, 'a journal record is never removed'); END;
