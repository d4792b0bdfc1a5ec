-- Who is let in beside pinned certificates: authorities, the leaves that none of them lets in any more, certificates that
-- knocked, and the alarms that were raised about certificates that come to their end.

-- "number" is never used twice: what was let in by one act of trust is not let in by the next.
CREATE TABLE authority (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint      TEXT NOT NULL,
    instance         TEXT NOT NULL REFERENCES instance (identifier) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    subject          TEXT NOT NULL,
    subject_pattern  TEXT NOT NULL,
    san_pattern      TEXT NOT NULL,
    not_before       INTEGER NOT NULL,
    not_after        INTEGER NOT NULL,
    der              BLOB NOT NULL,
    added_at         INTEGER NOT NULL,
    added_by         TEXT NOT NULL,
    UNIQUE (instance, fingerprint),
    UNIQUE (instance, name)
);

CREATE TABLE barred (
    instance     TEXT NOT NULL REFERENCES instance (identifier) ON DELETE CASCADE,
    fingerprint  TEXT NOT NULL,
    PRIMARY KEY (instance, fingerprint)
);

CREATE TRIGGER authority_added AFTER INSERT ON authority BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER authority_changed AFTER UPDATE ON authority BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER authority_removed AFTER DELETE ON authority BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER leaf_barred AFTER INSERT ON barred BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER leaf_changed AFTER UPDATE ON barred BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER leaf_unbarred AFTER DELETE ON barred BEGIN UPDATE generation SET number = number + 1; END;

-- Certificates that are not pinned: "instance" and "authority" are empty for those that were turned away.
CREATE TABLE seen_certificate (
    fingerprint  TEXT PRIMARY KEY,
    der          BLOB NOT NULL,
    subject      TEXT NOT NULL,
    address      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    instance     TEXT NOT NULL,
    authority    TEXT NOT NULL
);

CREATE TRIGGER seen_certificate_pinned AFTER INSERT ON certificate
BEGIN DELETE FROM seen_certificate WHERE fingerprint = new.fingerprint; END;

CREATE TABLE expiry_alarm (
    fingerprint  TEXT NOT NULL,
    days         INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, days)
);
