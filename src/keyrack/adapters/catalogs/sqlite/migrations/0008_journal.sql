-- What proves the journal, and how far it was handed on.

-- Signed: the ends of all chains at a time. "text" is what is signed, see keyrack.domain.checkpoints.
CREATE TABLE journal_checkpoint (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    through    INTEGER NOT NULL,
    text       TEXT NOT NULL,
    key        TEXT NOT NULL,
    signature  BLOB NOT NULL
);

CREATE TRIGGER checkpoint_is_not_changed BEFORE UPDATE ON journal_checkpoint
BEGIN SELECT RAISE (ABORT, 'a checkpoint is never changed'); END;

CREATE TRIGGER checkpoint_is_not_removed BEFORE DELETE ON journal_checkpoint
BEGIN SELECT RAISE (ABORT, 'a checkpoint is never removed'); END;

-- Records whose retention has ended: what they came to, and what the first one that is there links to.
CREATE TABLE journal_cut (
    checkpoint  INTEGER NOT NULL,
    chain       TEXT NOT NULL,
    through     INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    records     INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    at          INTEGER NOT NULL,
    by          TEXT NOT NULL,
    PRIMARY KEY (chain, through)
);

CREATE TRIGGER cut_is_not_changed BEFORE UPDATE ON journal_cut
BEGIN SELECT RAISE (ABORT, 'a cut of the journal is never changed'); END;

CREATE TRIGGER cut_is_not_removed BEFORE DELETE ON journal_cut
BEGIN SELECT RAISE (ABORT, 'a cut of the journal is never removed'); END;

-- The last record stays whatever was cut: it gives the next one its number.
DROP TRIGGER journal_is_not_shortened;

CREATE TRIGGER journal_is_not_shortened BEFORE DELETE ON journal
WHEN NOT EXISTS (SELECT 1 FROM journal_cut WHERE chain = OLD.chain AND through >= OLD.sequence)
    OR OLD.number = (SELECT max(number) FROM journal)
BEGIN SELECT RAISE (ABORT, 'a journal record is never removed'); END;

-- How far each sink has got: the number of a record, and of a checkpoint. "since": when its trouble began, or 0.
CREATE TABLE sink (
    name        TEXT PRIMARY KEY,
    number      INTEGER NOT NULL,
    checkpoint  INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    trouble     TEXT NOT NULL,
    since       INTEGER NOT NULL
);

-- A checkpoint says which objects are destroyed; they are few.
CREATE INDEX object_destroyed ON object (identifier) WHERE state IN (5, 6);
