-- The tests run this file: `make test-scale`. Run it on the primary as a superuser, with passwords of your own.
CREATE ROLE tasks_owner LOGIN PASSWORD 'one-password';
-- The connection limits leave room for HAProxy's checks and for a superuser, even when every connection hangs.
CREATE ROLE tasks_app LOGIN CONNECTION LIMIT 80 PASSWORD 'another-password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'a-third-password';
CREATE ROLE haproxy LOGIN CONNECTION LIMIT 10;
CREATE DATABASE tasks OWNER tasks_owner;
