-- Every statement that the service sends, by name. `make statements` writes this file.
--
-- Parameters are :name, as in psql. Each statement is sent in one message, with SET LOCAL statement_timeout
-- in front, as PREPARE (the first time on a connection) and EXECUTE. PostgreSQL runs one message as one
-- transaction, so there is no BEGIN or COMMIT, except for long lists.
--
--   all_tasks: Every task.
--   all_tasks_beginning: The first rows of all_tasks, usually all.
--   complete_task: Completes a task and logs it, unless it is complete already.
--   complete_tasks: Every complete task.
--   complete_tasks_beginning: The first rows of complete_tasks, usually all.
--   confirm_deletion: Returns null, if the deletion is in the log.
--   counts_of_rows: Counts the rows of each period between moments, and all tasks: slow, but for any moments.
--   create_task: Creates a task and logs it.
--   create_task_once: Creates a task and logs it, unless the creation is in the log already.
--   daily_counts: Counts, for each of some days, the tasks created and completed and the entries of the history.
--   deep_history_page: A page of the history, far from the newest entry.
--   deep_history_page_by_action_type: A page of the history of one action, far from the newest entry.
--   delete_task: Deletes a task and logs it.
--   first_page_of_tasks: The first page of the list.
--   first_page_of_tasks_of_kind: The first page of the complete or the incomplete tasks.
--   fold_counts: Adds recent changes to the totals, in the background.
--   found_tasks: Every task that a search finds.
--   found_tasks_beginning: The first rows of found_tasks, usually all.
--   get_entry: Returns an entry of the history, and the one that undid it.
--   get_task: Returns a task.
--   history_as_csv: History as csv, line by line.
--   history_as_ndjson: History as ndjson, line by line.
--   history_of_period: A page of the history of a period.
--   history_of_period_by_action_types: A page of the history of a period, of several actions.
--   history_page: A page of the history.
--   history_page_by_action_type: A page of the history of one action.
--   history_page_by_task_id: A page of the history of one task.
--   history_page_by_task_id_by_action_type: A page of the history of one task and one action.
--   incomplete_tasks: Every incomplete task.
--   incomplete_tasks_beginning: The first rows of incomplete_tasks, usually all.
--   new_entries: Returns the present position, and the entries of transaction `since` and later ones, and of `others`.
--   next_history_page: A page of the history, after a cursor.
--   next_history_page_by_action_type: A page of the history of one action, after a cursor.
--   next_history_page_by_task_id: A page of the history of one task, after a cursor.
--   next_history_page_by_task_id_by_action_type: A page of the history of one task and one action, after a cursor.
--   next_page_of_tasks: The page of the list after an incomplete task.
--   next_page_of_tasks_of_kind: The page of the complete or the incomplete tasks after one of them.
--   page_of_found_tasks: A page of the tasks that a search finds.
--   reopen_task: Reopens a task and logs it, unless it is incomplete already.
--   return_task_as_created: Returns a task as it was created, if that is in the log.
--   return_task_if_logged: Returns a task, if the change is in the log.
--   return_task_if_undone: Returns the task of an entry, if that is undone.
--   schema_state: Returns the revision of the schema, and the guards that are off or missing.
--   search_history: A page of the entries that a search finds.
--   take_room: Takes room on the disk for a moment, once a statement has found it full.
--   tasks_as_csv: Tasks as csv, line by line.
--   tasks_as_ndjson: Tasks as ndjson, line by line.
--   undo_entry: Undoes the change of an entry, if the task still is as that left it.
--   update_task: Sets a title, a description or both, and logs it if anything differs.
--   weekly_counts: Counts the tasks created and completed in a week, and all tasks.


-- all_tasks
-- Every task.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item;


-- all_tasks_beginning
-- The first rows of all_tasks, usually all.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item
LIMIT 500;


-- complete_task
-- Completes a task and logs it, unless it is complete already.
WITH task AS (
         SELECT tasks.id AS id,
                tasks.title AS title,
                tasks.description AS description,
                tasks.is_completed AS is_completed,
                tasks.created_at AS created_at,
                tasks.updated_at AS updated_at,
                tasks.completed_at AS completed_at
         FROM tasks
         WHERE tasks.id = CAST(:task_id AS uuid)
         FOR UPDATE
       ),
     moment AS (
         SELECT LEAST(GREATEST(clock_timestamp(),
                               task.updated_at + CAST('1 microsecond' AS interval)),
                      CAST('9999-12-31 23:59:59.999999Z' AS timestamptz)) AS now
         FROM task
       ),
     changed AS (
         UPDATE tasks
         SET is_completed = TRUE,
             updated_at = (SELECT moment.now
                           FROM moment),
             completed_at = (SELECT moment.now
                             FROM moment)
         FROM task
         WHERE tasks.id = task.id
           AND NOT task.is_completed
           AND (CAST(:if_match AS text[]) IS NULL
             OR to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') = ANY(CAST(:if_match AS text[])))
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                changed.id AS task_id,
                'COMPLETED' AS action_type,
                'Task marked as completed' AS description,
                changed.updated_at AS timestamp,
                changed.title AS task_title,
                json_build_object('is_completed',
                                  json_build_object('before', task.is_completed, 'after', changed.is_completed),
                                  'completed_at',
                                  json_build_object('before',
                                                    to_char(timezone('UTC', task.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                    'after',
                                                    to_char(timezone('UTC', changed.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS changes
         FROM changed, task
       )
  SELECT CAST(row_to_json(item) AS text) AS json,
         item.updated_at,
         EXISTS (SELECT *
                 FROM changed) AS is_logged
  FROM (SELECT answer.id AS id,
               answer.title AS title,
               answer.description AS description,
               answer.is_completed AS is_completed,
               to_char(timezone('UTC', answer.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
               to_char(timezone('UTC', answer.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
               to_char(timezone('UTC', answer.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
        FROM (SELECT changed.id AS id,
                     changed.title AS title,
                     changed.description AS description,
                     changed.is_completed AS is_completed,
                     changed.created_at AS created_at,
                     changed.updated_at AS updated_at,
                     changed.completed_at AS completed_at
              FROM changed

              UNION ALL

              SELECT task.id AS id,
                     task.title AS title,
                     task.description AS description,
                     task.is_completed AS is_completed,
                     task.created_at AS created_at,
                     task.updated_at AS updated_at,
                     task.completed_at AS completed_at
              FROM task
              WHERE NOT EXISTS (SELECT *
                                FROM changed)) AS answer) AS item;


-- complete_tasks
-- Every complete task.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE tasks.is_completed
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item;


-- complete_tasks_beginning
-- The first rows of complete_tasks, usually all.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE tasks.is_completed
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item
LIMIT 500;


-- confirm_deletion
-- Returns null, if the deletion is in the log.
SELECT pg_current_xact_id() WHERE pg_is_in_recovery();
SELECT 'null' AS json, pg_logical_emit_message(TRUE, '', '') IS NOT NULL AS is_logged
WHERE EXISTS (SELECT *
              FROM task_history
              WHERE task_history.history_id = CAST(:history_id AS uuid));


-- counts_of_rows
-- Counts the rows of each period between moments, and all tasks: slow, but for any moments.
SELECT COALESCE(created.count, 0) AS created,
       COALESCE(completed.count, 0) AS completed,
       COALESCE(changed.count, 0) AS changes,
       (SELECT count(*)
        FROM tasks) AS all_tasks,
       (SELECT count(*)
        FROM tasks
        WHERE is_completed) AS all_completed,
       0 AS parts,
       now() AS now
FROM generate_series(1, cardinality(CAST(:moments AS timestamptz[])) - 1) AS number
     LEFT JOIN (SELECT width_bucket(created_at, CAST(:moments AS timestamptz[])) AS number,
                       count(*) AS count
                FROM tasks
                WHERE created_at >= (CAST(:moments AS timestamptz[]))[1]
                  AND created_at < (CAST(:moments AS timestamptz[]))[cardinality(CAST(:moments AS timestamptz[]))]
                GROUP BY 1) AS created USING (number)
     LEFT JOIN (SELECT width_bucket(completed_at, CAST(:moments AS timestamptz[])) AS number,
                       count(*) AS count
                FROM tasks
                WHERE completed_at >= (CAST(:moments AS timestamptz[]))[1]
                  AND completed_at < (CAST(:moments AS timestamptz[]))[cardinality(CAST(:moments AS timestamptz[]))]
                GROUP BY 1) AS completed USING (number)
     LEFT JOIN (SELECT width_bucket(timestamp, CAST(:moments AS timestamptz[])) AS number,
                       count(*) AS count
                FROM task_history
                WHERE timestamp >= (CAST(:moments AS timestamptz[]))[1]
                  AND timestamp < (CAST(:moments AS timestamptz[]))[cardinality(CAST(:moments AS timestamptz[]))]
                GROUP BY 1) AS changed USING (number)
ORDER BY number;


-- create_task
-- Creates a task and logs it.
WITH created AS (
         INSERT INTO tasks (id,
                            title,
                            description,
                            is_completed,
                            created_at,
                            updated_at,
                            completed_at)
         SELECT CAST(:task_id AS uuid) AS id,
                :title AS title,
                :description AS description,
                FALSE AS is_completed,
                now() AS created_at,
                now() AS updated_at,
                NULL AS completed_at
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                created.id AS task_id,
                'CREATED' AS action_type,
                concat('Task created: ''', created.title, '''') AS description,
                created.updated_at AS timestamp,
                created.title AS task_title,
                json_build_object('title',
                                  json_build_object('before', NULL, 'after', created.title),
                                  'description',
                                  json_build_object('before', NULL, 'after', created.description),
                                  'is_completed',
                                  json_build_object('before', NULL, 'after', created.is_completed),
                                  'completed_at',
                                  json_build_object('before',
                                                    NULL,
                                                    'after',
                                                    to_char(timezone('UTC', created.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                                  'created_at',
                                  json_build_object('before',
                                                    NULL,
                                                    'after',
                                                    to_char(timezone('UTC', created.created_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS changes
         FROM created
       )
  SELECT CAST(row_to_json(item) AS text) AS json, TRUE AS is_logged
  FROM (SELECT created.id AS id,
               created.title AS title,
               created.description AS description,
               created.is_completed AS is_completed,
               to_char(timezone('UTC', created.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
               to_char(timezone('UTC', created.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
               to_char(timezone('UTC', created.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
        FROM created) AS item;


-- create_task_once
-- Creates a task and logs it, unless the creation is in the log already.
WITH created AS (
         INSERT INTO tasks (id,
                            title,
                            description,
                            is_completed,
                            created_at,
                            updated_at,
                            completed_at)
         SELECT CAST(:task_id AS uuid) AS id,
                :title AS title,
                :description AS description,
                FALSE AS is_completed,
                now() AS created_at,
                now() AS updated_at,
                NULL AS completed_at
         WHERE NOT EXISTS (SELECT *
                           FROM task_history
                           WHERE task_history.history_id = CAST(:history_id AS uuid))
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                created.id AS task_id,
                'CREATED' AS action_type,
                concat('Task created: ''', created.title, '''') AS description,
                created.updated_at AS timestamp,
                created.title AS task_title,
                json_build_object('title',
                                  json_build_object('before', NULL, 'after', created.title),
                                  'description',
                                  json_build_object('before', NULL, 'after', created.description),
                                  'is_completed',
                                  json_build_object('before', NULL, 'after', created.is_completed),
                                  'completed_at',
                                  json_build_object('before',
                                                    NULL,
                                                    'after',
                                                    to_char(timezone('UTC', created.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                                  'created_at',
                                  json_build_object('before',
                                                    NULL,
                                                    'after',
                                                    to_char(timezone('UTC', created.created_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS changes
         FROM created
       )
  SELECT CAST(row_to_json(item) AS text) AS json, TRUE AS is_logged
  FROM (SELECT created.id AS id,
               created.title AS title,
               created.description AS description,
               created.is_completed AS is_completed,
               to_char(timezone('UTC', created.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
               to_char(timezone('UTC', created.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
               to_char(timezone('UTC', created.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
        FROM created) AS item;


-- daily_counts
-- Counts, for each of some days, the tasks created and completed and the entries of the history.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH pending AS MATERIALIZED (
         SELECT kind, day, quarter, CAST(sum(change) AS bigint) AS change, count(*) AS parts
         FROM count_changes
         GROUP BY kind, day, quarter
       )
  SELECT counted.*,
         (SELECT CAST(COALESCE(sum(parts), 0) AS bigint)
          FROM pending) AS parts,
         now() AS now
  FROM unnest(CAST(:start_day AS date[]),
              CAST(:start_quarter AS integer[]),
              CAST(:end_day AS date[]),
              CAST(:end_quarter AS integer[])) WITH ORDINALITY AS period (start_day, start_quarter, end_day, end_quarter, number)
       CROSS JOIN LATERAL (SELECT CAST(COALESCE(sum(count) FILTER (WHERE kind = 'task created'), 0) AS bigint) AS created,
                                  CAST(COALESCE(sum(count) FILTER (WHERE kind = 'task completed'),
                                                0) AS bigint) AS completed,
                                  CAST(COALESCE(sum(count) FILTER (WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')),
                                                0) AS bigint) AS changes
                           FROM (SELECT kind,
                                        CASE
                                          WHEN day < end_day THEN count
                                          ELSE COALESCE((quarters)[end_quarter], 0)
                                        END - CASE
                                                WHEN day = start_day
                                                  THEN COALESCE((quarters)[start_quarter], 0)
                                                ELSE 0
                                              END AS count
                                 FROM counts
                                 WHERE day BETWEEN start_day AND end_day

                                 UNION ALL

                                 SELECT kind, change
                                 FROM pending
                                 WHERE (day, quarter) >= (start_day, start_quarter)
                                   AND (day, quarter) < (end_day, end_quarter)) AS part) AS counted
  ORDER BY number;


-- deep_history_page
-- A page of the history, far from the newest entry.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH day_total AS (
         SELECT day, CAST(sum(count) AS bigint) AS count
         FROM (SELECT day, count
               FROM counts
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                 AND day IS NOT NULL

               UNION ALL

               SELECT day, change
               FROM count_changes
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
         GROUP BY day
       ),
     running_total AS (
         SELECT day, count, CAST(sum(count) OVER (ORDER BY day DESC) AS bigint) - count AS newer
         FROM day_total
       ),
     day_of_offset AS (
         SELECT timezone('UTC', CAST(day + 1 AS timestamp)) AS ends,
                CAST(:offset AS bigint) - newer AS remaining
         FROM running_total
         WHERE CAST(:offset AS bigint) >= newer AND CAST(:offset AS bigint) < newer + count
       ),
     total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                 AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE timestamp < (SELECT ends
                                  FROM day_of_offset)
               ORDER BY timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET (SELECT remaining
                       FROM day_of_offset)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- deep_history_page_by_action_type
-- A page of the history of one action, far from the newest entry.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH day_total AS (
         SELECT day, CAST(sum(count) AS bigint) AS count
         FROM (SELECT day, count
               FROM counts
               WHERE kind = CAST(:action_type AS text) AND day IS NOT NULL

               UNION ALL

               SELECT day, change
               FROM count_changes
               WHERE kind = CAST(:action_type AS text)) AS part
         GROUP BY day
       ),
     running_total AS (
         SELECT day, count, CAST(sum(count) OVER (ORDER BY day DESC) AS bigint) - count AS newer
         FROM day_total
       ),
     day_of_offset AS (
         SELECT timezone('UTC', CAST(day + 1 AS timestamp)) AS ends,
                CAST(:offset AS bigint) - newer AS remaining
         FROM running_total
         WHERE CAST(:offset AS bigint) >= newer AND CAST(:offset AS bigint) < newer + count
       ),
     total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind = CAST(:action_type AS text) AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind = CAST(:action_type AS text)) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE action_type = ANY(ARRAY[CAST(:action_type AS varchar)])
                 AND timestamp < (SELECT ends
                                  FROM day_of_offset)
               ORDER BY action_type, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET (SELECT remaining
                       FROM day_of_offset)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- delete_task
-- Deletes a task and logs it.
WITH task AS (
         SELECT tasks.id AS id,
                tasks.title AS title,
                tasks.description AS description,
                tasks.is_completed AS is_completed,
                tasks.created_at AS created_at,
                tasks.updated_at AS updated_at,
                tasks.completed_at AS completed_at
         FROM tasks
         WHERE tasks.id = CAST(:task_id AS uuid)
         FOR UPDATE
       ),
     moment AS (
         SELECT LEAST(GREATEST(clock_timestamp(),
                               task.updated_at + CAST('1 microsecond' AS interval)),
                      CAST('9999-12-31 23:59:59.999999Z' AS timestamptz)) AS now
         FROM task
       ),
     deleted AS (
         DELETE FROM tasks
         USING task
         WHERE tasks.id = task.id
           AND (CAST(:if_match AS text[]) IS NULL
             OR to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') = ANY(CAST(:if_match AS text[])))
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.completed_at,
                   tasks.created_at,
                   (SELECT moment.now
                    FROM moment) AS updated_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                deleted.id AS task_id,
                'DELETED' AS action_type,
                concat('Task deleted: ''', deleted.title, '''') AS description,
                deleted.updated_at AS timestamp,
                deleted.title AS task_title,
                json_build_object('title',
                                  json_build_object('before', deleted.title, 'after', NULL),
                                  'description',
                                  json_build_object('before', deleted.description, 'after', NULL),
                                  'is_completed',
                                  json_build_object('before', deleted.is_completed, 'after', NULL),
                                  'completed_at',
                                  json_build_object('before',
                                                    to_char(timezone('UTC', deleted.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                    'after',
                                                    NULL),
                                  'created_at',
                                  json_build_object('before',
                                                    to_char(timezone('UTC', deleted.created_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                    'after',
                                                    NULL)) AS changes
         FROM deleted
       )
  SELECT 'null' AS json,
         to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
         EXISTS (SELECT *
                 FROM deleted) AS is_logged
  FROM task;


-- first_page_of_tasks
-- The first page of the list.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH task AS (
         SELECT *
         FROM ((SELECT *
                FROM tasks
                WHERE NOT is_completed
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))

               UNION ALL

               (SELECT *
                FROM tasks
                WHERE is_completed
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))) AS found
         ORDER BY is_completed, created_at DESC, id
         LIMIT (CAST(:limit AS integer) + 1)
       ),
     item AS (
         SELECT id,
                title,
                description,
                is_completed,
                to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
         FROM task
       ),
     page AS (
         SELECT count(*) > CAST(:limit AS integer) AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
         FROM item
       )
  SELECT has_next,
         concat('[', array_to_string((tasks)[:CAST(:limit AS integer)], ','), ']') AS tasks,
         (is_completed)[CAST(:limit AS integer)] AS is_completed,
         (created_at)[CAST(:limit AS integer)] AS created_at,
         (id)[CAST(:limit AS integer)] AS id
  FROM page;


-- first_page_of_tasks_of_kind
-- The first page of the complete or the incomplete tasks.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH task AS (
         SELECT *
         FROM (SELECT *
               FROM tasks
               WHERE is_completed = CAST(:kind AS boolean)
               ORDER BY created_at DESC, id
               LIMIT (CAST(:limit AS integer) + 1)) AS found
         ORDER BY is_completed, created_at DESC, id
         LIMIT (CAST(:limit AS integer) + 1)
       ),
     item AS (
         SELECT id,
                title,
                description,
                is_completed,
                to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
         FROM task
       ),
     page AS (
         SELECT count(*) > CAST(:limit AS integer) AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
         FROM item
       )
  SELECT has_next,
         concat('[', array_to_string((tasks)[:CAST(:limit AS integer)], ','), ']') AS tasks,
         (is_completed)[CAST(:limit AS integer)] AS is_completed,
         (created_at)[CAST(:limit AS integer)] AS created_at,
         (id)[CAST(:limit AS integer)] AS id
  FROM page;


-- fold_counts
-- Adds recent changes to the totals, in the background.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT fold_counts();


-- found_tasks
-- Every task that a search finds.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE (CAST(:word_1 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
              AND (CAST(:is_completed AS boolean) IS NULL
                OR is_completed = CAST(:is_completed AS boolean))
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item;


-- found_tasks_beginning
-- The first rows of found_tasks, usually all.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE (CAST(:word_1 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
              AND (CAST(:is_completed AS boolean) IS NULL
                OR is_completed = CAST(:is_completed AS boolean))
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item
LIMIT 500;


-- get_entry
-- Returns an entry of the history, and the one that undid it.
WITH item AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title,
                changes,
                undoes,
                (SELECT history_id
                 FROM task_history
                 WHERE history_id = CAST(:undone_by AS uuid)) AS undone_by
         FROM task_history
         WHERE history_id = CAST(:history_id AS uuid)
       )
  SELECT CAST(row_to_json(item) AS text) AS json
  FROM item;


-- get_task
-- Returns a task.
SELECT CAST(row_to_json(item) AS text) AS json, item.updated_at
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE tasks.id = CAST(:task_id AS uuid)) AS task) AS item;


-- history_as_csv
-- History as csv, line by line.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT concat(concat_ws(',',
                        COALESCE(CAST(history_id AS text), ''),
                        COALESCE(CAST(task_id AS text), ''),
                        COALESCE(CAST(action_type AS text), ''),
                        COALESCE('"' || replace(CASE
                                                  WHEN "left"(description, 1) IN ('=',
                                                                                  '+',
                                                                                  '-',
                                                                                  '@',
                                                                                  chr(9),
                                                                                  chr(10),
                                                                                  chr(13),
                                                                                  '＝',
                                                                                  '＋',
                                                                                  '－',
                                                                                  '＠')
                                                    THEN '''' || description
                                                  ELSE description
                                                END,
                                                '"',
                                                '""') || '"',
                                 ''),
                        COALESCE(CAST(timestamp AS text), ''),
                        COALESCE('"' || replace(CASE
                                                  WHEN "left"(task_title, 1) IN ('=',
                                                                                 '+',
                                                                                 '-',
                                                                                 '@',
                                                                                 chr(9),
                                                                                 chr(10),
                                                                                 chr(13),
                                                                                 '＝',
                                                                                 '＋',
                                                                                 '－',
                                                                                 '＠')
                                                    THEN '''' || task_title
                                                  ELSE task_title
                                                END,
                                                '"',
                                                '""') || '"',
                                 '')),
              chr(13),
              chr(10)) AS line
FROM (SELECT history_id,
             task_id,
             action_type,
             description,
             to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
             task_title
      FROM (SELECT *
            FROM task_history
            WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
              AND (CAST(:action_types AS varchar[]) IS NULL
                OR action_type = ANY(CAST(:action_types AS varchar[])))
              AND (CAST(:since AS timestamptz) IS NULL OR timestamp >= CAST(:since AS timestamptz))
              AND (CAST(:until AS timestamptz) IS NULL OR timestamp < CAST(:until AS timestamptz))
              AND (CAST(:word_1 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
            ORDER BY timestamp DESC, history_id DESC) AS found) AS item;


-- history_as_ndjson
-- History as ndjson, line by line.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT concat(row_to_json(item), chr(10)) AS line
FROM (SELECT history_id,
             task_id,
             action_type,
             description,
             to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
             task_title
      FROM (SELECT *
            FROM task_history
            WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
              AND (CAST(:action_types AS varchar[]) IS NULL
                OR action_type = ANY(CAST(:action_types AS varchar[])))
              AND (CAST(:since AS timestamptz) IS NULL OR timestamp >= CAST(:since AS timestamptz))
              AND (CAST(:until AS timestamptz) IS NULL OR timestamp < CAST(:until AS timestamptz))
              AND (CAST(:word_1 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
            ORDER BY timestamp DESC, history_id DESC) AS found) AS item;


-- history_of_period
-- A page of the history of a period.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
WITH until AS (
         SELECT (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                 FROM (SELECT day, count
                       FROM counts
                       WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                         AND day IS NOT NULL

                       UNION ALL

                       SELECT day, change
                       FROM count_changes
                       WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
                 WHERE day > CAST(timezone('UTC', COALESCE(CAST(:until AS timestamptz), 'infinity')) AS date)) + (SELECT count(*)
                                                                                                                  FROM task_history
                                                                                                                  WHERE timestamp >= COALESCE(CAST(:until AS timestamptz),
                                                                                                                                              'infinity')
                                                                                                                    AND timestamp < timezone('UTC',
                                                                                                                                             CAST(CAST(timezone('UTC',
                                                                                                                                                                COALESCE(CAST(:until AS timestamptz),
                                                                                                                                                                         'infinity')) AS date) + 1 AS timestamp))) AS newer
       ),
     day_total AS (
         SELECT day, CAST(sum(count) AS bigint) AS count
         FROM (SELECT day, count
               FROM counts
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                 AND day IS NOT NULL

               UNION ALL

               SELECT day, change
               FROM count_changes
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
         GROUP BY day
       ),
     running_total AS (
         SELECT day, count, CAST(sum(count) OVER (ORDER BY day DESC) AS bigint) - count AS newer
         FROM day_total
       ),
     day_of_offset AS (
         SELECT timezone('UTC', CAST(day + 1 AS timestamp)) AS ends,
                CAST(:offset AS bigint) + (SELECT newer
                                           FROM until) - newer AS remaining
         FROM running_total
         WHERE CAST(:offset AS bigint) + (SELECT newer
                                          FROM until) >= newer
           AND CAST(:offset AS bigint) + (SELECT newer
                                          FROM until) < newer + count
       ),
     total AS (
         SELECT (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                 FROM (SELECT day, count
                       FROM counts
                       WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                         AND day IS NOT NULL

                       UNION ALL

                       SELECT day, change
                       FROM count_changes
                       WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
                 WHERE day > CAST(timezone('UTC',
                                           COALESCE(CAST(:since AS timestamptz), '-infinity')) AS date)) + (SELECT count(*)
                                                                                                            FROM task_history
                                                                                                            WHERE timestamp >= COALESCE(CAST(:since AS timestamptz),
                                                                                                                                        '-infinity')
                                                                                                              AND timestamp < timezone('UTC',
                                                                                                                                       CAST(CAST(timezone('UTC',
                                                                                                                                                          COALESCE(CAST(:since AS timestamptz),
                                                                                                                                                                   '-infinity')) AS date) + 1 AS timestamp))) - newer AS total_count,
                (SELECT count(*)
                 FROM count_changes
                 WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS parts
         FROM until
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE timestamp >= COALESCE(CAST(:since AS timestamptz), '-infinity')
                 AND (CAST(:after_timestamp AS timestamptz) IS NULL
                   OR (timestamp < COALESCE(CAST(:until AS timestamptz), 'infinity')
                   AND (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                  CAST(:after_history_id AS uuid))))
                 AND (NOT CAST(:after_timestamp AS timestamptz) IS NULL
                   OR timestamp < (SELECT ends
                                   FROM day_of_offset))
               ORDER BY timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CASE
                        WHEN CAST(:after_timestamp AS timestamptz) IS NULL
                          THEN (SELECT remaining
                                FROM day_of_offset)
                        ELSE 0
                      END) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CASE
           WHEN CAST(:after_timestamp AS timestamptz) IS NULL THEN CAST(:offset AS bigint)
           ELSE LEAST(GREATEST((SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                                FROM (SELECT day, count
                                      FROM counts
                                      WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                                        AND day IS NOT NULL

                                      UNION ALL

                                      SELECT day, change
                                      FROM count_changes
                                      WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
                                WHERE day > CAST(timezone('UTC',
                                                          CAST(:after_timestamp AS timestamptz)) AS date)) + (SELECT count(*)
                                                                                                              FROM task_history
                                                                                                              WHERE (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                                                                                                                                CAST(:after_history_id AS uuid))
                                                                                                                AND timestamp < timezone('UTC',
                                                                                                                                         CAST(CAST(timezone('UTC',
                                                                                                                                                            CAST(:after_timestamp AS timestamptz)) AS date) + 1 AS timestamp))) - (SELECT newer
                                                                                                                                                                                                                                   FROM until),
                               0),
                      total_count)
         END AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- history_of_period_by_action_types
-- A page of the history of a period, of several actions.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
WITH until AS (
         SELECT (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                 FROM (SELECT day, count
                       FROM counts
                       WHERE kind = ANY(CAST(:action_types AS varchar[])) AND day IS NOT NULL

                       UNION ALL

                       SELECT day, change
                       FROM count_changes
                       WHERE kind = ANY(CAST(:action_types AS varchar[]))) AS part
                 WHERE day > CAST(timezone('UTC', COALESCE(CAST(:until AS timestamptz), 'infinity')) AS date)) + (SELECT count(*)
                                                                                                                  FROM task_history
                                                                                                                  WHERE action_type = ANY(CAST(:action_types AS varchar[]))
                                                                                                                    AND timestamp >= COALESCE(CAST(:until AS timestamptz),
                                                                                                                                              'infinity')
                                                                                                                    AND timestamp < timezone('UTC',
                                                                                                                                             CAST(CAST(timezone('UTC',
                                                                                                                                                                COALESCE(CAST(:until AS timestamptz),
                                                                                                                                                                         'infinity')) AS date) + 1 AS timestamp))) AS newer
       ),
     day_total AS (
         SELECT day, CAST(sum(count) AS bigint) AS count
         FROM (SELECT day, count
               FROM counts
               WHERE kind = ANY(CAST(:action_types AS varchar[])) AND day IS NOT NULL

               UNION ALL

               SELECT day, change
               FROM count_changes
               WHERE kind = ANY(CAST(:action_types AS varchar[]))) AS part
         GROUP BY day
       ),
     running_total AS (
         SELECT day, count, CAST(sum(count) OVER (ORDER BY day DESC) AS bigint) - count AS newer
         FROM day_total
       ),
     day_of_offset AS (
         SELECT timezone('UTC', CAST(day + 1 AS timestamp)) AS ends,
                CAST(:offset AS bigint) + (SELECT newer
                                           FROM until) - newer AS remaining
         FROM running_total
         WHERE CAST(:offset AS bigint) + (SELECT newer
                                          FROM until) >= newer
           AND CAST(:offset AS bigint) + (SELECT newer
                                          FROM until) < newer + count
       ),
     total AS (
         SELECT (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                 FROM (SELECT day, count
                       FROM counts
                       WHERE kind = ANY(CAST(:action_types AS varchar[])) AND day IS NOT NULL

                       UNION ALL

                       SELECT day, change
                       FROM count_changes
                       WHERE kind = ANY(CAST(:action_types AS varchar[]))) AS part
                 WHERE day > CAST(timezone('UTC',
                                           COALESCE(CAST(:since AS timestamptz), '-infinity')) AS date)) + (SELECT count(*)
                                                                                                            FROM task_history
                                                                                                            WHERE action_type = ANY(CAST(:action_types AS varchar[]))
                                                                                                              AND timestamp >= COALESCE(CAST(:since AS timestamptz),
                                                                                                                                        '-infinity')
                                                                                                              AND timestamp < timezone('UTC',
                                                                                                                                       CAST(CAST(timezone('UTC',
                                                                                                                                                          COALESCE(CAST(:since AS timestamptz),
                                                                                                                                                                   '-infinity')) AS date) + 1 AS timestamp))) - newer AS total_count,
                (SELECT count(*)
                 FROM count_changes
                 WHERE kind = ANY(CAST(:action_types AS varchar[]))) AS parts
         FROM until
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT entry.*
               FROM unnest(CAST(:action_types AS varchar[])) AS given (action),
                    LATERAL (SELECT *
                             FROM task_history
                             WHERE action_type = ANY(ARRAY[action])
                               AND timestamp >= COALESCE(CAST(:since AS timestamptz), '-infinity')
                               AND (CAST(:after_timestamp AS timestamptz) IS NULL
                                 OR (timestamp < COALESCE(CAST(:until AS timestamptz), 'infinity')
                                 AND (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                                CAST(:after_history_id AS uuid))))
                               AND (NOT CAST(:after_timestamp AS timestamptz) IS NULL
                                 OR timestamp < (SELECT ends
                                                 FROM day_of_offset))
                             ORDER BY action_type, timestamp DESC, history_id DESC
                             LIMIT (CAST(:limit AS integer) + CASE
                                                                WHEN CAST(:after_timestamp AS timestamptz) IS NULL
                                                                  THEN (SELECT remaining
                                                                        FROM day_of_offset)
                                                                ELSE 0
                                                              END)) AS entry
               ORDER BY timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CASE
                        WHEN CAST(:after_timestamp AS timestamptz) IS NULL
                          THEN (SELECT remaining
                                FROM day_of_offset)
                        ELSE 0
                      END) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CASE
           WHEN CAST(:after_timestamp AS timestamptz) IS NULL THEN CAST(:offset AS bigint)
           ELSE LEAST(GREATEST((SELECT CAST(COALESCE(sum(count), 0) AS bigint)
                                FROM (SELECT day, count
                                      FROM counts
                                      WHERE kind = ANY(CAST(:action_types AS varchar[]))
                                        AND day IS NOT NULL

                                      UNION ALL

                                      SELECT day, change
                                      FROM count_changes
                                      WHERE kind = ANY(CAST(:action_types AS varchar[]))) AS part
                                WHERE day > CAST(timezone('UTC',
                                                          CAST(:after_timestamp AS timestamptz)) AS date)) + (SELECT count(*)
                                                                                                              FROM task_history
                                                                                                              WHERE action_type = ANY(CAST(:action_types AS varchar[]))
                                                                                                                AND (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                                                                                                                                CAST(:after_history_id AS uuid))
                                                                                                                AND timestamp < timezone('UTC',
                                                                                                                                         CAST(CAST(timezone('UTC',
                                                                                                                                                            CAST(:after_timestamp AS timestamptz)) AS date) + 1 AS timestamp))) - (SELECT newer
                                                                                                                                                                                                                                   FROM until),
                               0),
                      total_count)
         END AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- history_page
-- A page of the history.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                 AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               ORDER BY timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CAST(:offset AS bigint)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- history_page_by_action_type
-- A page of the history of one action.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind = CAST(:action_type AS text) AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind = CAST(:action_type AS text)) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE action_type = ANY(ARRAY[CAST(:action_type AS varchar)])
               ORDER BY action_type, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CAST(:offset AS bigint)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- history_page_by_task_id
-- A page of the history of one task.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT count(*) AS total_count, 1 AS parts
         FROM task_history
         WHERE task_id = CAST(:task_id AS uuid)
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE task_id = ANY(ARRAY[CAST(:task_id AS uuid)])
               ORDER BY task_id, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CAST(:offset AS bigint)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- history_page_by_task_id_by_action_type
-- A page of the history of one task and one action.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT count(*) AS total_count, 1 AS parts
         FROM task_history
         WHERE task_id = CAST(:task_id AS uuid) AND action_type = CAST(:action_type AS varchar)
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE task_id = ANY(ARRAY[CAST(:task_id AS uuid)])
                 AND action_type = CAST(:action_type AS varchar)
               ORDER BY task_id, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)
               OFFSET CAST(:offset AS bigint)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CAST(:offset AS bigint) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- incomplete_tasks
-- Every incomplete task.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE NOT tasks.is_completed
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item;


-- incomplete_tasks_beginning
-- The first rows of incomplete_tasks, usually all.
SELECT CAST(row_to_json(item) AS text) AS json
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE NOT tasks.is_completed
            ORDER BY tasks.is_completed, tasks.created_at DESC, tasks.id) AS task) AS item
LIMIT 500;


-- new_entries
-- Returns the present position, and the entries of transaction `since` and later ones, and of `others`.
SELECT pg_current_xact_id() WHERE pg_is_in_recovery();
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH taken AS MATERIALIZED (
         SELECT pg_current_snapshot() AS snapshot
       ),
     present AS MATERIALIZED (
         SELECT history_id AS last_entry,
                COALESCE(transaction_id + 1, 0) AS next_transaction,
                ARRAY(SELECT in_progress
                      FROM pg_snapshot_xip(snapshot) AS it,
                           CAST(CAST(it AS text) AS bigint) AS in_progress
                      WHERE in_progress <= transaction_id) AS in_progress
         FROM taken
              LEFT JOIN LATERAL (SELECT history_id, transaction_id
                                 FROM task_history
                                 WHERE transaction_id < CAST(CAST(pg_snapshot_xmax(snapshot) AS text) AS bigint)
                                 ORDER BY transaction_id DESC
                                 LIMIT 1) AS latest ON TRUE
       ),
     entries AS (
         (SELECT *
          FROM task_history
          WHERE transaction_id >= CAST(:since AS bigint)
            AND transaction_id < (SELECT next_transaction
                                  FROM present)
          ORDER BY transaction_id DESC
          LIMIT 1001)

         UNION ALL

         (SELECT *
          FROM task_history
          WHERE transaction_id = ANY(ARRAY(SELECT unnest(CAST(:others AS bigint[]))

                                           EXCEPT

                                           SELECT unnest(in_progress)
                                           FROM present))
          LIMIT 1001)
       )
  SELECT "left"(encode(sha256(convert_to(concat_ws(' ',
                                                   (SELECT system_identifier
                                                    FROM pg_control_system()),
                                                   "left"(pg_walfile_name(pg_current_wal_insert_lsn()),
                                                          8),
                                                   (SELECT oid
                                                    FROM pg_database
                                                    WHERE datname = current_database()),
                                                   (SELECT concat_ws(' ', attrelid, attnum)
                                                    FROM pg_attribute
                                                    WHERE attrelid = to_regclass('task_history')
                                                      AND attname = 'transaction_id')),
                                         'UTF8')),
                       'hex'),
                16) AS history,
         present.*,
         EXISTS (SELECT
                 FROM task_history
                 WHERE history_id = CAST(:last_entry AS uuid)
                   AND transaction_id = CAST(:since AS bigint) - 1) AS has_last_entry,
         transaction_id,
         CAST((SELECT row_to_json(item)
               FROM (SELECT history_id,
                            task_id,
                            action_type,
                            description,
                            to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                            task_title) AS item) AS text) AS json
  FROM present LEFT JOIN entries ON TRUE
  ORDER BY timestamp, history_id;


-- next_history_page
-- A page of the history, after a cursor.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                 AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                CAST(:after_history_id AS uuid))
               ORDER BY timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
          FROM (SELECT day, count
                FROM counts
                WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')
                  AND day IS NOT NULL

                UNION ALL

                SELECT day, change
                FROM count_changes
                WHERE kind IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')) AS part
          WHERE day > CAST(timezone('UTC', CAST(:after_timestamp AS timestamptz)) AS date)) + (SELECT count(*)
                                                                                               FROM task_history
                                                                                               WHERE (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                                                                                                                 CAST(:after_history_id AS uuid))
                                                                                                 AND timestamp < timezone('UTC',
                                                                                                                          CAST(CAST(timezone('UTC',
                                                                                                                                             CAST(:after_timestamp AS timestamptz)) AS date) + 1 AS timestamp))) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- next_history_page_by_action_type
-- A page of the history of one action, after a cursor.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT CAST(COALESCE(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
         FROM (SELECT count
               FROM counts
               WHERE kind = CAST(:action_type AS text) AND day IS NULL

               UNION ALL

               SELECT change
               FROM count_changes
               WHERE kind = CAST(:action_type AS text)) AS part
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE action_type = ANY(ARRAY[CAST(:action_type AS varchar)])
                 AND (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                CAST(:after_history_id AS uuid))
               ORDER BY action_type, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         (SELECT CAST(COALESCE(sum(count), 0) AS bigint)
          FROM (SELECT day, count
                FROM counts
                WHERE kind = CAST(:action_type AS text) AND day IS NOT NULL

                UNION ALL

                SELECT day, change
                FROM count_changes
                WHERE kind = CAST(:action_type AS text)) AS part
          WHERE day > CAST(timezone('UTC', CAST(:after_timestamp AS timestamptz)) AS date)) + (SELECT count(*)
                                                                                               FROM task_history
                                                                                               WHERE action_type = CAST(:action_type AS varchar)
                                                                                                 AND (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                                                                                                                 CAST(:after_history_id AS uuid))
                                                                                                 AND timestamp < timezone('UTC',
                                                                                                                          CAST(CAST(timezone('UTC',
                                                                                                                                             CAST(:after_timestamp AS timestamptz)) AS date) + 1 AS timestamp))) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- next_history_page_by_task_id
-- A page of the history of one task, after a cursor.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT count(*) AS total_count, 1 AS parts
         FROM task_history
         WHERE task_id = CAST(:task_id AS uuid)
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE task_id = ANY(ARRAY[CAST(:task_id AS uuid)])
                 AND (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                CAST(:after_history_id AS uuid))
               ORDER BY task_id, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         (SELECT count(*)
          FROM task_history
          WHERE task_id = CAST(:task_id AS uuid)
            AND (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                            CAST(:after_history_id AS uuid))) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- next_history_page_by_task_id_by_action_type
-- A page of the history of one task and one action, after a cursor.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH total AS (
         SELECT count(*) AS total_count, 1 AS parts
         FROM task_history
         WHERE task_id = CAST(:task_id AS uuid) AND action_type = CAST(:action_type AS varchar)
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM (SELECT *
               FROM task_history
               WHERE task_id = ANY(ARRAY[CAST(:task_id AS uuid)])
                 AND action_type = CAST(:action_type AS varchar)
                 AND (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                CAST(:after_history_id AS uuid))
               ORDER BY task_id, timestamp DESC, history_id DESC
               LIMIT CAST(:limit AS integer)) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         (SELECT count(*)
          FROM task_history
          WHERE task_id = CAST(:task_id AS uuid)
            AND action_type = CAST(:action_type AS varchar)
            AND (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                            CAST(:after_history_id AS uuid))) AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- next_page_of_tasks
-- The page of the list after an incomplete task.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH task AS (
         SELECT *
         FROM ((SELECT *
                FROM tasks
                WHERE NOT is_completed
                  AND created_at <= CAST(:after_created_at AS timestamptz)
                  AND (created_at < CAST(:after_created_at AS timestamptz)
                    OR id > CAST(:after_id AS uuid))
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))

               UNION ALL

               (SELECT *
                FROM tasks
                WHERE is_completed
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))) AS found
         ORDER BY is_completed, created_at DESC, id
         LIMIT (CAST(:limit AS integer) + 1)
       ),
     item AS (
         SELECT id,
                title,
                description,
                is_completed,
                to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
         FROM task
       ),
     page AS (
         SELECT count(*) > CAST(:limit AS integer) AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
         FROM item
       )
  SELECT has_next,
         concat('[', array_to_string((tasks)[:CAST(:limit AS integer)], ','), ']') AS tasks,
         (is_completed)[CAST(:limit AS integer)] AS is_completed,
         (created_at)[CAST(:limit AS integer)] AS created_at,
         (id)[CAST(:limit AS integer)] AS id
  FROM page;


-- next_page_of_tasks_of_kind
-- The page of the complete or the incomplete tasks after one of them.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH task AS (
         SELECT *
         FROM (SELECT *
               FROM tasks
               WHERE is_completed = CAST(:kind AS boolean)
                 AND created_at <= CAST(:after_created_at AS timestamptz)
                 AND (created_at < CAST(:after_created_at AS timestamptz)
                   OR id > CAST(:after_id AS uuid))
               ORDER BY created_at DESC, id
               LIMIT (CAST(:limit AS integer) + 1)) AS found
         ORDER BY is_completed, created_at DESC, id
         LIMIT (CAST(:limit AS integer) + 1)
       ),
     item AS (
         SELECT id,
                title,
                description,
                is_completed,
                to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
         FROM task
       ),
     page AS (
         SELECT count(*) > CAST(:limit AS integer) AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
         FROM item
       )
  SELECT has_next,
         concat('[', array_to_string((tasks)[:CAST(:limit AS integer)], ','), ']') AS tasks,
         (is_completed)[CAST(:limit AS integer)] AS is_completed,
         (created_at)[CAST(:limit AS integer)] AS created_at,
         (id)[CAST(:limit AS integer)] AS id
  FROM page;


-- page_of_found_tasks
-- A page of the tasks that a search finds.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
WITH task AS (
         SELECT *
         FROM ((SELECT *
                FROM tasks
                WHERE NOT is_completed
                  AND (CAST(:word_1 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
                  AND (CAST(:word_2 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
                  AND (CAST(:word_3 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
                  AND (CAST(:more_words AS text[]) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
                  AND (CAST(:is_completed AS boolean) IS NULL
                    OR is_completed = CAST(:is_completed AS boolean))
                  AND (CAST(:after_is_completed AS boolean) IS NULL
                    OR (NOT CAST(:after_is_completed AS boolean)
                    AND created_at <= CAST(:after_created_at AS timestamptz)
                    AND (created_at < CAST(:after_created_at AS timestamptz)
                      OR id > CAST(:after_id AS uuid))))
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))

               UNION ALL

               (SELECT *
                FROM tasks
                WHERE is_completed
                  AND (CAST(:word_1 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
                  AND (CAST(:word_2 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
                  AND (CAST(:word_3 AS text) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
                  AND (CAST(:more_words AS text[]) IS NULL
                    OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
                  AND (CAST(:is_completed AS boolean) IS NULL
                    OR is_completed = CAST(:is_completed AS boolean))
                  AND (CAST(:after_is_completed AS boolean) IS NULL
                    OR NOT CAST(:after_is_completed AS boolean)
                    OR (created_at <= CAST(:after_created_at AS timestamptz)
                    AND (created_at < CAST(:after_created_at AS timestamptz)
                      OR id > CAST(:after_id AS uuid))))
                ORDER BY created_at DESC, id
                LIMIT (CAST(:limit AS integer) + 1))) AS found
         ORDER BY is_completed, created_at DESC, id
         LIMIT (CAST(:limit AS integer) + 1)
       ),
     item AS (
         SELECT id,
                title,
                description,
                is_completed,
                to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
         FROM task
       ),
     page AS (
         SELECT count(*) > CAST(:limit AS integer) AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
         FROM item
       )
  SELECT has_next,
         concat('[', array_to_string((tasks)[:CAST(:limit AS integer)], ','), ']') AS tasks,
         (is_completed)[CAST(:limit AS integer)] AS is_completed,
         (created_at)[CAST(:limit AS integer)] AS created_at,
         (id)[CAST(:limit AS integer)] AS id
  FROM page;


-- reopen_task
-- Reopens a task and logs it, unless it is incomplete already.
WITH task AS (
         SELECT tasks.id AS id,
                tasks.title AS title,
                tasks.description AS description,
                tasks.is_completed AS is_completed,
                tasks.created_at AS created_at,
                tasks.updated_at AS updated_at,
                tasks.completed_at AS completed_at
         FROM tasks
         WHERE tasks.id = CAST(:task_id AS uuid)
         FOR UPDATE
       ),
     moment AS (
         SELECT LEAST(GREATEST(clock_timestamp(),
                               task.updated_at + CAST('1 microsecond' AS interval)),
                      CAST('9999-12-31 23:59:59.999999Z' AS timestamptz)) AS now
         FROM task
       ),
     changed AS (
         UPDATE tasks
         SET is_completed = FALSE,
             updated_at = (SELECT moment.now
                           FROM moment),
             completed_at = NULL
         FROM task
         WHERE tasks.id = task.id
           AND task.is_completed
           AND (CAST(:if_match AS text[]) IS NULL
             OR to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') = ANY(CAST(:if_match AS text[])))
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                changed.id AS task_id,
                'INCOMPLETED' AS action_type,
                'Task marked as incomplete' AS description,
                changed.updated_at AS timestamp,
                changed.title AS task_title,
                json_build_object('is_completed',
                                  json_build_object('before', task.is_completed, 'after', changed.is_completed),
                                  'completed_at',
                                  json_build_object('before',
                                                    to_char(timezone('UTC', task.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                    'after',
                                                    to_char(timezone('UTC', changed.completed_at),
                                                            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS changes
         FROM changed, task
       )
  SELECT CAST(row_to_json(item) AS text) AS json,
         item.updated_at,
         EXISTS (SELECT *
                 FROM changed) AS is_logged
  FROM (SELECT answer.id AS id,
               answer.title AS title,
               answer.description AS description,
               answer.is_completed AS is_completed,
               to_char(timezone('UTC', answer.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
               to_char(timezone('UTC', answer.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
               to_char(timezone('UTC', answer.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
        FROM (SELECT changed.id AS id,
                     changed.title AS title,
                     changed.description AS description,
                     changed.is_completed AS is_completed,
                     changed.created_at AS created_at,
                     changed.updated_at AS updated_at,
                     changed.completed_at AS completed_at
              FROM changed

              UNION ALL

              SELECT task.id AS id,
                     task.title AS title,
                     task.description AS description,
                     task.is_completed AS is_completed,
                     task.created_at AS created_at,
                     task.updated_at AS updated_at,
                     task.completed_at AS completed_at
              FROM task
              WHERE NOT EXISTS (SELECT *
                                FROM changed)) AS answer) AS item;


-- return_task_as_created
-- Returns a task as it was created, if that is in the log.
SELECT pg_current_xact_id() WHERE pg_is_in_recovery();
SELECT CAST(row_to_json(item) AS text) AS json,
       pg_logical_emit_message(TRUE, '', '') IS NOT NULL AS is_logged
FROM (SELECT created.id AS id,
             created.title AS title,
             created.description AS description,
             created.is_completed AS is_completed,
             to_char(timezone('UTC', created.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', created.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             created.completed_at AS completed_at
      FROM (SELECT task_history.task_id AS id,
                   CAST(task_history.changes -> 'title' ->> 'after' AS varchar) AS title,
                   CAST(task_history.changes -> 'description' ->> 'after' AS varchar) AS description,
                   FALSE AS is_completed,
                   task_history.timestamp AS created_at,
                   task_history.timestamp AS updated_at,
                   NULL AS completed_at
            FROM task_history
            WHERE task_history.history_id = CAST(:history_id AS uuid)) AS created) AS item;


-- return_task_if_logged
-- Returns a task, if the change is in the log.
SELECT pg_current_xact_id() WHERE pg_is_in_recovery();
SELECT CAST(row_to_json(item) AS text) AS json,
       pg_logical_emit_message(TRUE, '', '') IS NOT NULL AS is_logged
FROM (SELECT task.id AS id,
             task.title AS title,
             task.description AS description,
             task.is_completed AS is_completed,
             to_char(timezone('UTC', task.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', task.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT tasks.id AS id,
                   tasks.title AS title,
                   tasks.description AS description,
                   tasks.is_completed AS is_completed,
                   tasks.created_at AS created_at,
                   tasks.updated_at AS updated_at,
                   tasks.completed_at AS completed_at
            FROM tasks
            WHERE tasks.id = CAST(:task_id AS uuid)
              AND EXISTS (SELECT *
                          FROM task_history
                          WHERE task_history.history_id = CAST(:history_id AS uuid))) AS task) AS item;


-- return_task_if_undone
-- Returns the task of an entry, if that is undone.
SELECT pg_current_xact_id() WHERE pg_is_in_recovery();
WITH entry AS (
         SELECT task_history.history_id AS history_id,
                task_history.task_id AS task_id,
                task_history.action_type AS action_type,
                task_history.timestamp AS timestamp,
                CAST(task_history.changes AS jsonb) AS changes
         FROM task_history
         WHERE task_history.history_id = CAST(:undoes AS uuid)
       )
  SELECT COALESCE((SELECT CAST(row_to_json(item) AS text) AS json
                   FROM (SELECT task.id AS id,
                                task.title AS title,
                                task.description AS description,
                                task.is_completed AS is_completed,
                                to_char(timezone('UTC', task.created_at),
                                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                                to_char(timezone('UTC', task.updated_at),
                                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                                to_char(timezone('UTC', task.completed_at),
                                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
                         FROM (SELECT tasks.id AS id,
                                      tasks.title AS title,
                                      tasks.description AS description,
                                      tasks.is_completed AS is_completed,
                                      tasks.created_at AS created_at,
                                      tasks.updated_at AS updated_at,
                                      tasks.completed_at AS completed_at
                               FROM tasks
                               WHERE tasks.id = (SELECT entry.task_id
                                                 FROM entry)) AS task) AS item),
                  'null') AS json,
         entry.action_type,
         pg_logical_emit_message(TRUE, '', '') IS NOT NULL AS is_logged
  FROM entry
  WHERE EXISTS (SELECT *
                FROM task_history
                WHERE task_history.history_id = CAST(:history_id AS uuid));


-- schema_state
-- Returns the revision of the schema, and the guards that are off or missing.
SELECT version_num, guards.*
FROM alembic_version,
     (SELECT COALESCE(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled <> 'A'), '{}') AS switched_off,
             COALESCE(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled IS NULL), '{}') AS missing
      FROM ((VALUES ('check_entry', 'task_history'),
                    ('count_change', 'tasks'),
                    ('count_truncate', 'tasks'),
                    ('refuse_change', 'task_history'),
                    ('refuse_truncate', 'task_history'),
                    ('stamp_entry', 'task_history'))) AS needed (guard, relation)
           LEFT JOIN pg_trigger ON tgrelid = to_regclass(relation) AND tgname = guard) AS guards;


-- search_history
-- A page of the entries that a search finds.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
WITH total AS (
         SELECT count(*) AS total_count, 1 AS parts
         FROM task_history
         WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
           AND (CAST(:action_types AS varchar[]) IS NULL
             OR action_type = ANY(CAST(:action_types AS varchar[])))
           AND (CAST(:since AS timestamptz) IS NULL OR timestamp >= CAST(:since AS timestamptz))
           AND (CAST(:until AS timestamptz) IS NULL OR timestamp < CAST(:until AS timestamptz))
           AND (CAST(:word_1 AS text) IS NULL
             OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
           AND (CAST(:word_2 AS text) IS NULL
             OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
           AND (CAST(:word_3 AS text) IS NULL
             OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
           AND (CAST(:more_words AS text[]) IS NULL
             OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
       ),
     page AS (
         SELECT history_id,
                task_id,
                action_type,
                description,
                to_char(timezone('UTC', timestamp), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
                task_title
         FROM ((SELECT *
                FROM task_history
                WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
                  AND (CAST(:action_types AS varchar[]) IS NULL
                    OR action_type = ANY(CAST(:action_types AS varchar[])))
                  AND (CAST(:since AS timestamptz) IS NULL
                    OR timestamp >= CAST(:since AS timestamptz))
                  AND (CAST(:until AS timestamptz) IS NULL
                    OR timestamp < CAST(:until AS timestamptz))
                  AND (CAST(:word_1 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
                  AND (CAST(:word_2 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
                  AND (CAST(:word_3 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
                  AND (CAST(:more_words AS text[]) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
                  AND (CAST(:after_timestamp AS timestamptz) IS NULL
                    OR (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                  CAST(:after_history_id AS uuid)))
                  AND (SELECT total_count
                       FROM total) > CAST(:offset AS bigint)
                  AND (SELECT total_count
                       FROM total) <= 10000
                ORDER BY timestamp + CAST('0' AS interval) DESC, history_id DESC
                LIMIT CAST(:limit AS integer)
                OFFSET CAST(:offset AS bigint))

               UNION ALL

               (SELECT *
                FROM task_history
                WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
                  AND (CAST(:action_types AS varchar[]) IS NULL
                    OR action_type = ANY(CAST(:action_types AS varchar[])))
                  AND (CAST(:since AS timestamptz) IS NULL
                    OR timestamp >= CAST(:since AS timestamptz))
                  AND (CAST(:until AS timestamptz) IS NULL
                    OR timestamp < CAST(:until AS timestamptz))
                  AND (CAST(:word_1 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
                  AND (CAST(:word_2 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
                  AND (CAST(:word_3 AS text) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
                  AND (CAST(:more_words AS text[]) IS NULL
                    OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
                  AND (CAST(:after_timestamp AS timestamptz) IS NULL
                    OR (timestamp, history_id) < (CAST(:after_timestamp AS timestamptz),
                                                  CAST(:after_history_id AS uuid)))
                  AND (SELECT total_count
                       FROM total) > CAST(:offset AS bigint)
                  AND (SELECT total_count
                       FROM total) > 10000
                ORDER BY timestamp DESC, history_id DESC
                LIMIT CAST(:limit AS integer)
                OFFSET CAST(:offset AS bigint))) AS entry
       ),
     listed AS (
         SELECT concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                ((array_agg(timestamp)))[count(*)] AS last_timestamp,
                ((array_agg(history_id)))[count(*)] AS last_history_id
         FROM page
       )
  SELECT total_count,
         parts,
         CASE
           WHEN CAST(:after_timestamp AS timestamptz) IS NULL THEN CAST(:offset AS bigint)
           ELSE (SELECT count(*)
                 FROM task_history
                 WHERE (CAST(:task_id AS uuid) IS NULL OR task_id = CAST(:task_id AS uuid))
                   AND (CAST(:action_types AS varchar[]) IS NULL
                     OR action_type = ANY(CAST(:action_types AS varchar[])))
                   AND (CAST(:since AS timestamptz) IS NULL
                     OR timestamp >= CAST(:since AS timestamptz))
                   AND (CAST(:until AS timestamptz) IS NULL
                     OR timestamp < CAST(:until AS timestamptz))
                   AND (CAST(:word_1 AS text) IS NULL
                     OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_1 AS text))
                   AND (CAST(:word_2 AS text) IS NULL
                     OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_2 AS text))
                   AND (CAST(:word_3 AS text) IS NULL
                     OR description || ' ' || COALESCE(task_title, '') ILIKE CAST(:word_3 AS text))
                   AND (CAST(:more_words AS text[]) IS NULL
                     OR description || ' ' || COALESCE(task_title, '') ILIKE ALL(CAST(:more_words AS text[])))
                   AND (timestamp, history_id) >= (CAST(:after_timestamp AS timestamptz),
                                                   CAST(:after_history_id AS uuid)))
         END AS entries_before,
         items,
         last_timestamp,
         last_history_id
  FROM total, listed;


-- take_room
-- Takes room on the disk for a moment, once a statement has found it full.
SET LOCAL work_mem = 64;
SELECT count(*) AS rows
FROM generate_series(1, 100000) AS number;


-- tasks_as_csv
-- Tasks as csv, line by line.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT concat(concat_ws(',',
                        COALESCE(CAST(id AS text), ''),
                        COALESCE('"' || replace(CASE
                                                  WHEN "left"(title, 1) IN ('=',
                                                                            '+',
                                                                            '-',
                                                                            '@',
                                                                            chr(9),
                                                                            chr(10),
                                                                            chr(13),
                                                                            '＝',
                                                                            '＋',
                                                                            '－',
                                                                            '＠')
                                                    THEN '''' || title
                                                  ELSE title
                                                END,
                                                '"',
                                                '""') || '"',
                                 ''),
                        COALESCE('"' || replace(CASE
                                                  WHEN "left"(description, 1) IN ('=',
                                                                                  '+',
                                                                                  '-',
                                                                                  '@',
                                                                                  chr(9),
                                                                                  chr(10),
                                                                                  chr(13),
                                                                                  '＝',
                                                                                  '＋',
                                                                                  '－',
                                                                                  '＠')
                                                    THEN '''' || description
                                                  ELSE description
                                                END,
                                                '"',
                                                '""') || '"',
                                 ''),
                        COALESCE(CAST(is_completed AS text), ''),
                        COALESCE(CAST(created_at AS text), ''),
                        COALESCE(CAST(updated_at AS text), ''),
                        COALESCE(CAST(completed_at AS text), '')),
              chr(13),
              chr(10)) AS line
FROM (SELECT id,
             title,
             description,
             is_completed,
             to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT *
            FROM tasks
            WHERE (CAST(:word_1 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
              AND (CAST(:is_completed AS boolean) IS NULL
                OR is_completed = CAST(:is_completed AS boolean))
            ORDER BY is_completed, created_at DESC, id) AS found) AS item;


-- tasks_as_ndjson
-- Tasks as ndjson, line by line.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SELECT concat(row_to_json(item), chr(10)) AS line
FROM (SELECT id,
             title,
             description,
             is_completed,
             to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
             to_char(timezone('UTC', updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
             to_char(timezone('UTC', completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
      FROM (SELECT *
            FROM tasks
            WHERE (CAST(:word_1 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_1 AS text))
              AND (CAST(:word_2 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_2 AS text))
              AND (CAST(:word_3 AS text) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE CAST(:word_3 AS text))
              AND (CAST(:more_words AS text[]) IS NULL
                OR title || ' ' || COALESCE(description, '') ILIKE ALL(CAST(:more_words AS text[])))
              AND (CAST(:is_completed AS boolean) IS NULL
                OR is_completed = CAST(:is_completed AS boolean))
            ORDER BY is_completed, created_at DESC, id) AS found) AS item;


-- undo_entry
-- Undoes the change of an entry, if the task still is as that left it.
WITH entry AS (
         SELECT task_history.history_id AS history_id,
                task_history.task_id AS task_id,
                task_history.action_type AS action_type,
                task_history.timestamp AS timestamp,
                CAST(task_history.changes AS jsonb) AS changes
         FROM task_history
         WHERE task_history.history_id = CAST(:undoes AS uuid)
       ),
     task AS (
         SELECT tasks.id AS id,
                tasks.title AS title,
                tasks.description AS description,
                tasks.is_completed AS is_completed,
                tasks.created_at AS created_at,
                tasks.updated_at AS updated_at,
                tasks.completed_at AS completed_at
         FROM tasks
         WHERE tasks.id = (SELECT entry.task_id
                           FROM entry)
         FOR UPDATE
       ),
     before AS (
         SELECT task.id AS id,
                task.title AS title,
                task.description AS description,
                task.is_completed AS is_completed,
                task.created_at AS created_at,
                task.updated_at AS updated_at,
                task.completed_at AS completed_at
         FROM entry LEFT JOIN task ON TRUE
       ),
     moment AS (
         SELECT LEAST(GREATEST(clock_timestamp(),
                               COALESCE(before.updated_at, entry.timestamp) + CAST('1 microsecond' AS interval)),
                      CAST('9999-12-31 23:59:59.999999Z' AS timestamptz)) AS now
         FROM entry INNER JOIN before ON TRUE
       ),
     reversal AS (
         SELECT entry.task_id AS id,
                CASE
                  WHEN entry.changes ? 'title'
                    THEN CAST(entry.changes #>> '{title,before}' AS text)
                  ELSE before.title
                END AS title,
                CASE
                  WHEN entry.changes ? 'description'
                    THEN CAST(entry.changes #>> '{description,before}' AS text)
                  ELSE before.description
                END AS description,
                CASE
                  WHEN entry.changes ? 'is_completed'
                    THEN CAST(entry.changes #>> '{is_completed,before}' AS boolean)
                  ELSE before.is_completed
                END AS is_completed,
                CASE
                  WHEN entry.changes ? 'completed_at'
                    THEN CAST(entry.changes #>> '{completed_at,before}' AS timestamp with time zone)
                  ELSE before.completed_at
                END AS completed_at,
                CASE
                  WHEN entry.changes ? 'created_at'
                    THEN CAST(entry.changes #>> '{created_at,before}' AS timestamp with time zone)
                  ELSE before.created_at
                END AS created_at,
                (SELECT moment.now
                 FROM moment) AS updated_at,
                entry.action_type AS action_type
         FROM entry, before
         WHERE entry.changes IS NOT NULL
           AND NOT EXISTS (SELECT *
                           FROM task_history
                           WHERE task_history.history_id = CAST(:history_id AS uuid))
           AND CASE
                 WHEN entry.action_type = 'DELETED' THEN before.id IS NULL
                 ELSE before.id IS NOT NULL
                  AND (NOT entry.changes ? 'title'
                    OR before.title IS NOT DISTINCT FROM CAST(entry.changes #>> '{title,after}' AS text))
                  AND (NOT entry.changes ? 'description'
                    OR before.description IS NOT DISTINCT FROM CAST(entry.changes #>> '{description,after}' AS text))
                  AND (NOT entry.changes ? 'is_completed'
                    OR before.is_completed IS NOT DISTINCT FROM CAST(entry.changes #>> '{is_completed,after}' AS boolean))
                  AND (NOT entry.changes ? 'completed_at'
                    OR before.completed_at IS NOT DISTINCT FROM CAST(entry.changes #>> '{completed_at,after}' AS timestamp with time zone))
                  AND (NOT entry.changes ? 'created_at'
                    OR before.created_at IS NOT DISTINCT FROM CAST(entry.changes #>> '{created_at,after}' AS timestamp with time zone))
               END
       ),
     updated AS (
         UPDATE tasks
         SET title = reversal.title,
             description = reversal.description,
             is_completed = reversal.is_completed,
             updated_at = reversal.updated_at,
             completed_at = reversal.completed_at
         FROM reversal
         WHERE tasks.id = reversal.id
           AND reversal.action_type <> 'CREATED'
           AND reversal.action_type <> 'DELETED'
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     restored AS (
         INSERT INTO tasks (id,
                            title,
                            description,
                            is_completed,
                            created_at,
                            updated_at,
                            completed_at)
         SELECT reversal.id AS id,
                reversal.title AS title,
                reversal.description AS description,
                reversal.is_completed AS is_completed,
                reversal.created_at AS created_at,
                reversal.updated_at AS updated_at,
                reversal.completed_at AS completed_at
         FROM reversal
         WHERE reversal.action_type = 'DELETED'
         ON CONFLICT DO NOTHING
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     deleted AS (
         DELETE FROM tasks
         USING reversal
         WHERE tasks.id = reversal.id AND reversal.action_type = 'CREATED'
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   reversal.updated_at,
                   tasks.completed_at
       ),
     changed AS (
         (SELECT updated.id AS id,
                 updated.title AS title,
                 updated.description AS description,
                 updated.is_completed AS is_completed,
                 updated.created_at AS created_at,
                 updated.updated_at AS updated_at,
                 updated.completed_at AS completed_at
          FROM updated

          UNION ALL

          SELECT restored.id AS id,
                 restored.title AS title,
                 restored.description AS description,
                 restored.is_completed AS is_completed,
                 restored.created_at AS created_at,
                 restored.updated_at AS updated_at,
                 restored.completed_at AS completed_at
          FROM restored)

         UNION ALL

         SELECT deleted.id AS id,
                deleted.title AS title,
                deleted.description AS description,
                deleted.is_completed AS is_completed,
                deleted.created_at AS created_at,
                deleted.updated_at AS updated_at,
                deleted.completed_at AS completed_at
         FROM deleted
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes,
                                   undoes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                changed.id AS task_id,
                CASE entry.action_type
                  WHEN 'CREATED'
                    THEN 'DELETED'
                  WHEN 'UPDATED'
                    THEN 'UPDATED'
                  WHEN 'COMPLETED'
                    THEN 'INCOMPLETED'
                  WHEN 'INCOMPLETED'
                    THEN 'COMPLETED'
                  WHEN 'DELETED'
                    THEN 'CREATED'
                END AS action_type,
                CASE entry.action_type
                  WHEN 'CREATED'
                    THEN concat('Task deleted: ''', changed.title, ''' (undo)')
                  WHEN 'UPDATED'
                    THEN concat(concat_ws('; ',
                                          CASE
                                            WHEN changed.title <> before.title
                                              THEN concat('Title changed from ''', before.title, ''' to ''', changed.title, '''')
                                          END,
                                          CASE
                                            WHEN changed.title <> before.title
                                             AND changed.description IS DISTINCT FROM before.description
                                              THEN 'description changed'
                                            WHEN changed.description IS DISTINCT FROM before.description
                                              THEN 'Description changed'
                                          END),
                                ' (undo)')
                  WHEN 'COMPLETED'
                    THEN 'Task marked as incomplete (undo)'
                  WHEN 'INCOMPLETED'
                    THEN 'Task marked as completed (undo)'
                  WHEN 'DELETED'
                    THEN concat('Task restored: ''', changed.title, '''')
                END AS description,
                changed.updated_at AS timestamp,
                changed.title AS task_title,
                CASE entry.action_type
                  WHEN 'CREATED'
                    THEN json_build_object('title',
                                           json_build_object('before', changed.title, 'after', NULL),
                                           'description',
                                           json_build_object('before', changed.description, 'after', NULL),
                                           'is_completed',
                                           json_build_object('before', changed.is_completed, 'after', NULL),
                                           'completed_at',
                                           json_build_object('before',
                                                             to_char(timezone('UTC', changed.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                             'after',
                                                             NULL),
                                           'created_at',
                                           json_build_object('before',
                                                             to_char(timezone('UTC', changed.created_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                             'after',
                                                             NULL))
                  WHEN 'UPDATED'
                    THEN CASE
                           WHEN changed.title <> before.title
                            AND changed.description IS DISTINCT FROM before.description
                             THEN json_build_object('title',
                                                    json_build_object('before', before.title, 'after', changed.title),
                                                    'description',
                                                    json_build_object('before', before.description, 'after', changed.description))
                           WHEN changed.title <> before.title
                             THEN json_build_object('title',
                                                    json_build_object('before', before.title, 'after', changed.title))
                           ELSE json_build_object('description',
                                                  json_build_object('before', before.description, 'after', changed.description))
                         END
                  WHEN 'COMPLETED'
                    THEN json_build_object('is_completed',
                                           json_build_object('before', before.is_completed, 'after', changed.is_completed),
                                           'completed_at',
                                           json_build_object('before',
                                                             to_char(timezone('UTC', before.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                             'after',
                                                             to_char(timezone('UTC', changed.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
                  WHEN 'INCOMPLETED'
                    THEN json_build_object('is_completed',
                                           json_build_object('before', before.is_completed, 'after', changed.is_completed),
                                           'completed_at',
                                           json_build_object('before',
                                                             to_char(timezone('UTC', before.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                                             'after',
                                                             to_char(timezone('UTC', changed.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
                  WHEN 'DELETED'
                    THEN json_build_object('title',
                                           json_build_object('before', NULL, 'after', changed.title),
                                           'description',
                                           json_build_object('before', NULL, 'after', changed.description),
                                           'is_completed',
                                           json_build_object('before', NULL, 'after', changed.is_completed),
                                           'completed_at',
                                           json_build_object('before',
                                                             NULL,
                                                             'after',
                                                             to_char(timezone('UTC', changed.completed_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                                           'created_at',
                                           json_build_object('before',
                                                             NULL,
                                                             'after',
                                                             to_char(timezone('UTC', changed.created_at),
                                                                     'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
                END AS changes,
                entry.history_id AS undoes
         FROM changed, entry, before
       )
  SELECT CASE
           WHEN entry.action_type = 'CREATED' THEN 'null'
           ELSE (SELECT CAST(row_to_json(item) AS text) AS json
                 FROM (SELECT changed.id AS id,
                              changed.title AS title,
                              changed.description AS description,
                              changed.is_completed AS is_completed,
                              to_char(timezone('UTC', changed.created_at),
                                      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                              to_char(timezone('UTC', changed.updated_at),
                                      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
                              to_char(timezone('UTC', changed.completed_at),
                                      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
                       FROM changed) AS item)
         END AS json,
         entry.action_type,
         entry.changes IS NULL AS is_too_old,
         EXISTS (SELECT *
                 FROM changed) AS is_logged
  FROM entry;


-- update_task
-- Sets a title, a description or both, and logs it if anything differs.
WITH task AS (
         SELECT tasks.id AS id,
                tasks.title AS title,
                tasks.description AS description,
                tasks.is_completed AS is_completed,
                tasks.created_at AS created_at,
                tasks.updated_at AS updated_at,
                tasks.completed_at AS completed_at
         FROM tasks
         WHERE tasks.id = CAST(:task_id AS uuid)
         FOR UPDATE
       ),
     moment AS (
         SELECT LEAST(GREATEST(clock_timestamp(),
                               task.updated_at + CAST('1 microsecond' AS interval)),
                      CAST('9999-12-31 23:59:59.999999Z' AS timestamptz)) AS now
         FROM task
       ),
     changed AS (
         UPDATE tasks
         SET title = COALESCE(:title, task.title),
             description = COALESCE(:description, task.description),
             updated_at = (SELECT moment.now
                           FROM moment)
         FROM task
         WHERE tasks.id = task.id
           AND (COALESCE(:title, task.title), COALESCE(:description, task.description)) IS DISTINCT FROM (task.title, task.description)
           AND (CAST(:if_match AS text[]) IS NULL
             OR to_char(timezone('UTC', task.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') = ANY(CAST(:if_match AS text[])))
         RETURNING tasks.id,
                   tasks.title,
                   tasks.description,
                   tasks.is_completed,
                   tasks.created_at,
                   tasks.updated_at,
                   tasks.completed_at
       ),
     logged AS (
         INSERT INTO task_history (history_id,
                                   task_id,
                                   action_type,
                                   description,
                                   timestamp,
                                   task_title,
                                   changes)
         SELECT CAST(:history_id AS uuid) AS history_id,
                changed.id AS task_id,
                'UPDATED' AS action_type,
                concat_ws('; ',
                          CASE
                            WHEN changed.title <> task.title
                              THEN concat('Title changed from ''', task.title, ''' to ''', changed.title, '''')
                          END,
                          CASE
                            WHEN changed.title <> task.title
                             AND changed.description IS DISTINCT FROM task.description
                              THEN 'description changed'
                            WHEN changed.description IS DISTINCT FROM task.description
                              THEN 'Description changed'
                          END) AS description,
                changed.updated_at AS timestamp,
                changed.title AS task_title,
                CASE
                  WHEN changed.title <> task.title
                   AND changed.description IS DISTINCT FROM task.description
                    THEN json_build_object('title',
                                           json_build_object('before', task.title, 'after', changed.title),
                                           'description',
                                           json_build_object('before', task.description, 'after', changed.description))
                  WHEN changed.title <> task.title
                    THEN json_build_object('title',
                                           json_build_object('before', task.title, 'after', changed.title))
                  ELSE json_build_object('description',
                                         json_build_object('before', task.description, 'after', changed.description))
                END AS changes
         FROM changed, task
       )
  SELECT CAST(row_to_json(item) AS text) AS json,
         item.updated_at,
         EXISTS (SELECT *
                 FROM changed) AS is_logged
  FROM (SELECT answer.id AS id,
               answer.title AS title,
               answer.description AS description,
               answer.is_completed AS is_completed,
               to_char(timezone('UTC', answer.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
               to_char(timezone('UTC', answer.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
               to_char(timezone('UTC', answer.completed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS completed_at
        FROM (SELECT changed.id AS id,
                     changed.title AS title,
                     changed.description AS description,
                     changed.is_completed AS is_completed,
                     changed.created_at AS created_at,
                     changed.updated_at AS updated_at,
                     changed.completed_at AS completed_at
              FROM changed

              UNION ALL

              SELECT task.id AS id,
                     task.title AS title,
                     task.description AS description,
                     task.is_completed AS is_completed,
                     task.created_at AS created_at,
                     task.updated_at AS updated_at,
                     task.completed_at AS completed_at
              FROM task
              WHERE NOT EXISTS (SELECT *
                                FROM changed)) AS answer) AS item;


-- weekly_counts
-- Counts the tasks created and completed in a week, and all tasks.
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
WITH part AS (
         (SELECT kind, count AS of_all, 0 AS of_week
          FROM counts
          WHERE kind IN ('task created', 'task completed') AND day IS NULL

          UNION ALL

          SELECT kind,
                 0,
                 CASE
                   WHEN day < CAST(:end_day AS date) THEN count
                   ELSE COALESCE((quarters)[CAST(:end_quarter AS integer)], 0)
                 END - CASE
                         WHEN day = CAST(:start_day AS date)
                           THEN COALESCE((quarters)[CAST(:start_quarter AS integer)], 0)
                         ELSE 0
                       END
          FROM counts
          WHERE kind IN ('task created', 'task completed')
            AND day BETWEEN CAST(:start_day AS date) AND CAST(:end_day AS date))

         UNION ALL

         SELECT kind,
                change,
                CASE
                  WHEN (day, quarter) >= (CAST(:start_day AS date), CAST(:start_quarter AS integer))
                   AND (day, quarter) < (CAST(:end_day AS date), CAST(:end_quarter AS integer))
                    THEN change
                  ELSE 0
                END
         FROM count_changes
         WHERE kind IN ('task created', 'task completed')
       )
  SELECT CAST(COALESCE(sum(of_week) FILTER (WHERE kind = 'task created'), 0) AS bigint) AS created,
         CAST(COALESCE(sum(of_week) FILTER (WHERE kind = 'task completed'), 0) AS bigint) AS completed,
         CAST(COALESCE(sum(of_all) FILTER (WHERE kind = 'task created'), 0) AS bigint) AS all_tasks,
         CAST(COALESCE(sum(of_all) FILTER (WHERE kind = 'task completed'), 0) AS bigint) AS all_completed,
         count(*) AS parts,
         now() AS now
  FROM part;
