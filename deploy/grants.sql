-- The tests run this file. It gives `tasks_app`, the role of the service, what it needs and no more.
-- Run it after each migration, as the owner of the tables:
--     psql postgresql://tasks_owner@localhost/tasks --file=deploy/grants.sql

GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO tasks_app;
-- Neither UPDATE nor DELETE: the service cannot change the history.
GRANT SELECT, INSERT ON task_history TO tasks_app;
GRANT SELECT, INSERT, UPDATE ON counts TO tasks_app;
GRANT SELECT, UPDATE ON counted TO tasks_app;
GRANT SELECT, UPDATE ON SEQUENCE late_before TO tasks_app;
GRANT SELECT, INSERT, DELETE ON late_entries, task_count_changes TO tasks_app;
GRANT SELECT ON count_changes TO tasks_app;
GRANT SELECT ON SEQUENCE task_count_changes_number_seq TO tasks_app;
-- At start, the service compares the schema's revision with its own.
GRANT SELECT ON alembic_version TO tasks_app;
