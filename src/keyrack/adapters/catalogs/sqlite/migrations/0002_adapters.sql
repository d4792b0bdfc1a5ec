-- Instances as KMIP adapters: who made them, what they are for; names of certificates; who made and changed an object.

-- A name is unique among the instances of one key manager: two tenants of it need not know of each other.
CREATE TABLE new_instance (
    identifier   TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    status       TEXT NOT NULL,
    key_manager  TEXT NOT NULL,
    root_key     TEXT NOT NULL,
    storage      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    updated_at   INTEGER,
    updated_by   TEXT NOT NULL,
    UNIQUE (key_manager, name)
);

-- What was done until now, as the journal tells: who has changed what, in the order of writing.
CREATE TEMPORARY TABLE act AS
    SELECT number, json_extract(text, '$.action') AS action, json_extract(text, '$.target') AS target,
        json_extract(text, '$.instance') AS instance, json_extract(text, '$.initiator') AS initiator,
        json_extract(text, '$.at') / 1000 AS at
    FROM journal
    WHERE json_extract(text, '$.outcome') = 'success' AND json_extract(text, '$.action') IN (
        'instance.create', 'certificate.add', 'certificate.remove', 'Create', 'Register', 'standard-key.intent',
        'Activate', 'Revoke', 'Destroy', 'Add Attribute', 'Modify Attribute', 'Delete Attribute', 'Get Usage Allocation');
CREATE INDEX temp.act_by_target ON act (target, number);
CREATE INDEX temp.act_by_instance ON act (instance, number);

INSERT INTO new_instance (identifier, name, description, status, key_manager, root_key, storage, created_at, created_by,
        updated_at, updated_by)
    SELECT identifier, name, '', status, key_manager, root_key, storage, created_at,
        coalesce((SELECT initiator FROM act WHERE target = identifier AND action = 'instance.create'
            ORDER BY number LIMIT 1), ''),
        (SELECT at FROM act WHERE instance = identifier AND action IN ('certificate.add', 'certificate.remove')
            ORDER BY number DESC LIMIT 1),
        coalesce((SELECT initiator FROM act WHERE instance = identifier
            AND action IN ('certificate.add', 'certificate.remove') ORDER BY number DESC LIMIT 1), '')
    FROM instance;
DROP TABLE instance;
ALTER TABLE new_instance RENAME TO instance;

CREATE TRIGGER instance_added AFTER INSERT ON instance BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER instance_changed AFTER UPDATE ON instance BEGIN UPDATE generation SET number = number + 1; END;
CREATE TRIGGER instance_removed AFTER DELETE ON instance BEGIN UPDATE generation SET number = number + 1; END;

ALTER TABLE certificate ADD COLUMN added_by TEXT NOT NULL DEFAULT '';
ALTER TABLE certificate ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE certificate SET name = 'kmip_cert_' || substr(fingerprint, 1, 30),
    added_by = coalesce((SELECT initiator FROM act WHERE target = fingerprint AND action = 'certificate.add'
        ORDER BY number DESC LIMIT 1), '');
DROP INDEX certificate_by_instance;
CREATE UNIQUE INDEX certificate_by_name ON certificate (instance, name);

-- Who has let which certificate in. It stays when the certificate goes, since objects tell who has made them.
CREATE TABLE admission (
    instance     TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    added_by     TEXT NOT NULL,
    PRIMARY KEY (instance, fingerprint)
);

INSERT INTO admission (instance, fingerprint, added_by)
    SELECT instance, target, initiator FROM act AS last WHERE action = 'certificate.add' AND number = (
        SELECT max(number) FROM act WHERE action = 'certificate.add' AND target = last.target
            AND instance = last.instance);

-- Initiators as the journal names them; and the two dates that make a state without anybody's change.
ALTER TABLE object ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE object ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE object ADD COLUMN destroyed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE object ADD COLUMN activation_date INTEGER;
ALTER TABLE object ADD COLUMN deactivation_date INTEGER;
ALTER TABLE intent ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

UPDATE object SET
    created_by = coalesce((SELECT initiator FROM act WHERE target = identifier ORDER BY number LIMIT 1), ''),
    changed_by = coalesce((SELECT initiator FROM act WHERE target = identifier ORDER BY number DESC LIMIT 1), ''),
    destroyed_by = coalesce((SELECT initiator FROM act WHERE target = identifier AND action = 'Destroy'
        ORDER BY number LIMIT 1), '');
-- Opaque Objects (8) and Templates (6) have no State for dates to change.
UPDATE object SET activation_date = json_extract(attributes, '$."Activation Date"[0][1]'),
    deactivation_date = json_extract(attributes, '$."Deactivation Date"[0][1]')
    WHERE object_type NOT IN (6, 8);
UPDATE intent SET created_by = coalesce((SELECT initiator FROM act WHERE target = identifier
    ORDER BY number LIMIT 1), '');

DROP TABLE act;
