-- What was answered to a request that has an Idempotency-Key, for as long as it may be repeated.
CREATE TABLE answers (
    caller TEXT NOT NULL,               -- identifier of the person
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,          -- SHA-256 of the request
    begun_at INTEGER NOT NULL,
    status INTEGER,                     -- null: under way, or nobody knows how it ended
    headers TEXT NOT NULL,
    body BLOB,                          -- null: it held a secret
    PRIMARY KEY (caller, key)
) WITHOUT ROWID, STRICT;

CREATE INDEX answers_begun_at ON answers (begun_at);

-- Written now and then by each process, to see that the catalog takes a commit.
CREATE TABLE pulses (
    process TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
