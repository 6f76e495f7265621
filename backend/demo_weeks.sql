-- Writes tasks of earlier weeks and their history, as the service would have written them at the time.
--
-- demo_weeks.py runs this file in one transaction, on an embedded database that holds nothing but the first task of the
-- demo. The parameter `steps` is a JSON array with an object for each change of a task:
--
--   {"task_id": …, "history_id": …, "action_type": …, "timestamp": …, "title": …, "description": …}
--
-- The title and the description are those that the change left. Everything else follows from the order of a task's
-- steps. The rules that the rows obey:
--
-- - each step is one entry, whose description and changes are those of the service, letter for letter;
-- - the row of a task is as its last entry left it, with that entry's time as `updated_at`; no row after a deletion;
-- - created_at is the time of the first entry, completed_at that of the completion that still holds;
-- - the counts include the rows: the triggers that count, and those that refuse other changes of the history, are
--   ENABLE ALWAYS, so they run in spite of the next line.

-- The history takes no entry of more than an hour ago, except from a superuser who says this.
SET LOCAL session_replication_role = replica;

WITH step AS (
    SELECT *
    FROM json_to_recordset(%(steps)s) AS step (
        task_id uuid, history_id uuid, action_type text, "timestamp" timestamptz, title text, description text
    )
), dated AS (
    SELECT *,
        min("timestamp") OVER so_far AS created_at,
        max("timestamp") FILTER (WHERE action_type = 'COMPLETED') OVER so_far AS last_completed_at,
        max("timestamp") FILTER (WHERE action_type = 'INCOMPLETED') OVER so_far AS last_reopened_at
    FROM step
    WINDOW so_far AS (PARTITION BY task_id ORDER BY "timestamp")
), completable AS (
    SELECT *,
        CASE WHEN last_completed_at > coalesce(last_reopened_at, '-infinity') THEN last_completed_at END AS completed_at
    FROM dated
), state AS (
    SELECT *,
        completed_at IS NOT NULL AS is_completed,
        -- Times as the API shows them.
        to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at_shown,
        to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at_shown
    FROM completable
), change AS (
    SELECT *,
        lag(title) OVER life AS old_title,
        lag(description) OVER life AS old_description,
        lag(is_completed) OVER life AS was_completed,
        lag(completed_at_shown) OVER life AS old_completed_at_shown,
        lead("timestamp") OVER life IS NULL AS is_last
    FROM state
    WINDOW life AS (PARTITION BY task_id ORDER BY "timestamp")
), difference AS (
    SELECT *,
        title <> old_title AS is_retitled,
        description IS DISTINCT FROM old_description AS is_redescribed,
        json_build_object('before', old_title, 'after', title) AS title_change,
        json_build_object('before', old_description, 'after', description) AS description_change
    FROM change
), logged AS (
    INSERT INTO task_history (history_id, task_id, action_type, description, "timestamp", task_title, changes)
    SELECT
        history_id,
        task_id,
        action_type,
        CASE action_type
            WHEN 'CREATED' THEN concat('Task created: ''', title, '''')
            WHEN 'UPDATED' THEN concat_ws(
                '; ',
                CASE WHEN is_retitled THEN concat('Title changed from ''', old_title, ''' to ''', title, '''') END,
                CASE WHEN is_retitled AND is_redescribed THEN 'description changed'
                    WHEN is_redescribed THEN 'Description changed' END
            )
            WHEN 'COMPLETED' THEN 'Task marked as completed'
            WHEN 'INCOMPLETED' THEN 'Task marked as incomplete'
            WHEN 'DELETED' THEN concat('Task deleted: ''', title, '''')
        END,
        "timestamp",
        title,
        CASE
            WHEN action_type = 'CREATED' THEN json_build_object(
                'title', title_change,
                'description', description_change,
                'is_completed', json_build_object('before', NULL, 'after', is_completed),
                'completed_at', json_build_object('before', NULL, 'after', completed_at_shown),
                'created_at', json_build_object('before', NULL, 'after', created_at_shown)
            )
            WHEN action_type = 'UPDATED' AND is_retitled AND is_redescribed THEN
                json_build_object('title', title_change, 'description', description_change)
            WHEN action_type = 'UPDATED' AND is_retitled THEN json_build_object('title', title_change)
            WHEN action_type = 'UPDATED' THEN json_build_object('description', description_change)
            WHEN action_type IN ('COMPLETED', 'INCOMPLETED') THEN json_build_object(
                'is_completed', json_build_object('before', was_completed, 'after', is_completed),
                'completed_at', json_build_object('before', old_completed_at_shown, 'after', completed_at_shown)
            )
            WHEN action_type = 'DELETED' THEN json_build_object(
                'title', json_build_object('before', title, 'after', NULL),
                'description', json_build_object('before', description, 'after', NULL),
                'is_completed', json_build_object('before', is_completed, 'after', NULL),
                'completed_at', json_build_object('before', completed_at_shown, 'after', NULL),
                'created_at', json_build_object('before', created_at_shown, 'after', NULL)
            )
        END
    FROM difference
    ORDER BY "timestamp"
)
INSERT INTO tasks (id, title, description, is_completed, created_at, updated_at, completed_at)
SELECT task_id, title, description, is_completed, created_at, "timestamp", completed_at
FROM change
WHERE is_last AND action_type <> 'DELETED'
ORDER BY created_at
