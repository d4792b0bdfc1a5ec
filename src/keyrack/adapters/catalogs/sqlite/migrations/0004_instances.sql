-- Instances have a reason for their status, quotas, a credential and dual control; and how many living objects each has
-- is counted by the database itself, so that a quota costs one look and cannot be passed by whoever is quick.

ALTER TABLE instance ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE instance ADD COLUMN quota_keys INTEGER NOT NULL DEFAULT 1000000;
ALTER TABLE instance ADD COLUMN quota_certificates INTEGER NOT NULL DEFAULT 200;
ALTER TABLE instance ADD COLUMN quota_requests INTEGER NOT NULL DEFAULT 10000;
-- JSON: username, argon2id hash, whether it is required.
ALTER TABLE instance ADD COLUMN credential TEXT;
ALTER TABLE instance ADD COLUMN dual_control_at INTEGER;

-- A move that is under way shows from now on.
UPDATE instance SET status = 'Configuring', reason = 'its keys move from root key ' || former_root_key || ' of '
    || former_key_manager || '; its clients are served meanwhile'
    WHERE former_root_key IS NOT NULL AND status = 'Installed';

-- A destroyed object (states 5 and 6) does not count.
CREATE TABLE living (
    instance  TEXT PRIMARY KEY,
    objects   INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO living (instance, objects)
    SELECT instance, count(*) FROM object WHERE state NOT IN (5, 6) GROUP BY instance;

CREATE TRIGGER object_comes_to_life AFTER INSERT ON object WHEN new.state NOT IN (5, 6)
BEGIN
    INSERT INTO living (instance, objects) VALUES (new.instance, 1)
        ON CONFLICT (instance) DO UPDATE SET objects = objects + 1;
END;
CREATE TRIGGER object_ends AFTER UPDATE OF state ON object WHEN old.state NOT IN (5, 6) AND new.state IN (5, 6)
BEGIN UPDATE living SET objects = objects - 1 WHERE instance = new.instance; END;
CREATE TRIGGER object_comes_back AFTER UPDATE OF state ON object WHEN old.state IN (5, 6) AND new.state NOT IN (5, 6)
BEGIN
    INSERT INTO living (instance, objects) VALUES (new.instance, 1)
        ON CONFLICT (instance) DO UPDATE SET objects = objects + 1;
END;
CREATE TRIGGER object_goes AFTER DELETE ON object WHEN old.state NOT IN (5, 6)
BEGIN UPDATE living SET objects = objects - 1 WHERE instance = old.instance; END;
