-- People who administer, what they prove themselves with, and how often somebody has tried to.

CREATE TABLE person (
    identifier     TEXT PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    source         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    password       TEXT NOT NULL,
    display        TEXT NOT NULL,
    grants         TEXT NOT NULL,  -- JSON: pairs of role and instance, sorted
    created_at     INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    disabled_at    INTEGER,
    removed_at     INTEGER,
    last_login_at  INTEGER,
    revision       INTEGER NOT NULL
);

CREATE UNIQUE INDEX person_by_subject ON person (source, subject) WHERE subject <> '';

CREATE TRIGGER person_stays BEFORE DELETE ON person
BEGIN SELECT RAISE (ABORT, 'a person is never removed: the journal names people by name'); END;

-- Digests are SHA-256 of what has 256 random bits; nobody finds out the one from the other.
CREATE TABLE api_key (
    identifier    TEXT PRIMARY KEY,
    person        TEXT NOT NULL REFERENCES person (identifier),
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL,
    roles         TEXT NOT NULL,  -- JSON, sorted
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    last_used_at  INTEGER,
    revoked_at    INTEGER
);

CREATE INDEX api_key_by_person ON api_key (person, created_at);

CREATE TABLE login_session (
    digest         BLOB PRIMARY KEY,
    person         TEXT NOT NULL REFERENCES person (identifier),
    created_at     INTEGER NOT NULL,
    seen_at        INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    stepped_up_at  INTEGER,
    address        TEXT NOT NULL
);

CREATE INDEX login_session_by_person ON login_session (person, created_at);

CREATE TABLE one_time_link (
    digest      BLOB PRIMARY KEY,
    person      TEXT NOT NULL REFERENCES person (identifier),
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
);

CREATE INDEX one_time_link_by_person ON one_time_link (person);

CREATE TABLE attempt (
    name      TEXT PRIMARY KEY,
    failures  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    free_at   INTEGER NOT NULL,
    version   INTEGER NOT NULL
);

CREATE INDEX attempt_by_age ON attempt (last_at);
