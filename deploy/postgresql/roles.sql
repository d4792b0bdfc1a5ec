-- The roles and the database, once, as a superuser: psql -v ON_ERROR_STOP=1 -f roles.sql
-- Then give each a password (\password keyrack_owner, \password keyrack, \password keyrack_replication), and have the
-- owner make the schema: keyrack database prepare --url postgresql://keyrack_owner@db1.example.com/keyrack

-- Owns the schema, makes and upgrades it; the servers never log in as it.
CREATE ROLE keyrack_owner LOGIN;
-- The servers. What they may do with each table the schema says: neither UPDATE nor DELETE in the journal.
CREATE ROLE keyrack LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE keyrack SET synchronous_commit = on;
ALTER ROLE keyrack SET default_transaction_isolation = 'read committed';
-- The standby.
CREATE ROLE keyrack_replication LOGIN REPLICATION;

-- Text is compared by its bytes, as SQLite does, and as no upgrade of the operating system changes.
CREATE DATABASE keyrack OWNER keyrack_owner TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
REVOKE ALL ON DATABASE keyrack FROM PUBLIC;
GRANT CONNECT ON DATABASE keyrack TO keyrack;
\connect keyrack
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO keyrack_owner;
GRANT USAGE ON SCHEMA public TO keyrack;
