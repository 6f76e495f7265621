-- The tests run this file: `make test-scale`. For the superuser of the primary, with passwords of your own.
CREATE ROLE tasks_owner LOGIN PASSWORD 'one-password';
-- The limits leave room for HAProxy's question and for the superuser, whatever hangs.
CREATE ROLE tasks_app LOGIN CONNECTION LIMIT 80 PASSWORD 'another-password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'a-third-password';
CREATE ROLE haproxy LOGIN CONNECTION LIMIT 10;
CREATE DATABASE tasks OWNER tasks_owner;
