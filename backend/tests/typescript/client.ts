// A frontend's client, typed by the OpenAPI document alone: it walks through a task's life.
import assert from "node:assert/strict";
import { argv } from "node:process";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Task = components["schemas"]["TaskResponse"];
type Action = components["schemas"]["ActionType"];
type Changes = components["schemas"]["Changes"];

// The compiler asks for a toast for each popup, and refuses one for anything else.
const toasts: Record<components["schemas"]["Popup"], string> = {
  TASK_CREATED: "Created",
  TASK_UPDATED: "Saved",
  TASK_COMPLETED: "Done",
  TASK_INCOMPLETE: "Open again",
  TASK_DELETED: "Deleted",
};

const api = createClient<paths, "application/json">({ baseUrl: argv[2] ?? "http://127.0.0.1:8000" });

// A creation that is sent again with its key is answered again, but done once.
const header = { "Idempotency-Key": crypto.randomUUID() };
const body = { title: "Buy", description: null };
const created = await api.POST("/tasks", { params: { header }, body });
assert(created.data);
const task: Task = created.data.data;
assert.equal(toasts[created.data.popup], "Created");
const replayed = await api.POST("/tasks", { params: { header }, body });
assert.deepEqual(replayed.data, created.data);
assert.equal(replayed.response.headers.get("Idempotency-Replayed"), "true");
const reused = await api.POST("/tasks", { params: { header }, body: { title: "Sell" } });
assert.equal(reused.response.status, 422);
assert.equal(reused.error?.error, "Idempotency-Key: was used for another task");

// An edit of a task that changed since it was read overwrites nothing.
const params = { path: { task_id: task.id } };
const asRead = { ...params, header: { "If-Match": `"${task.updated_at}"` } };
const updated = await api.PUT("/tasks/{task_id}", { params: asRead, body: { title: "Buy groceries" } });
assert.equal(updated.data?.data.title, "Buy groceries");
const refused = await api.PUT("/tasks/{task_id}", { params: asRead, body: { title: "Buy flowers" } });
assert.equal(refused.response.status, 412);
assert.equal(refused.error?.error, "The task has changed since you read it");
assert.equal(refused.response.headers.get("ETag"), `"${updated.data?.data.updated_at}"`);

const completed = await api.PATCH("/tasks/{task_id}/complete", { params });
const completedAt: string | null | undefined = completed.data?.data.completed_at;
assert.equal(completedAt, completed.data?.data.updated_at);
const reopened = await api.PATCH("/tasks/{task_id}/incomplete", { params });
assert.equal(reopened.data?.popup, "TASK_INCOMPLETE");

const open = await api.GET("/tasks", { params: { query: { is_completed: false, limit: 10 } } });
assert.deepEqual(open.data?.data, [reopened.data?.data]);
assert.deepEqual((await api.GET("/tasks/{task_id}", { params })).data?.data, reopened.data?.data);
const stats = await api.GET("/stats/weekly");
assert.equal(stats.data?.data.tasks_created_this_week, 1);

const deleted = await api.DELETE("/tasks/{task_id}", { params });
assert.equal(deleted.data?.data, null);
const gone = await api.GET("/tasks/{task_id}", { params });
assert.equal(gone.response.status, 404);
assert.equal(gone.error?.error, "Task not found");

// Each change names its history entry, which undoes it. Undoing the undo is a redo.
function entryOf(response: Response) {
  const history_id = response.headers.get("History-ID");
  assert(history_id);
  return { params: { path: { history_id } } };
}
const restored = await api.POST("/history/{history_id}/undo", entryOf(deleted.response));
assert.equal(restored.data?.popup, "TASK_CREATED");
const back: Task | null | undefined = restored.data?.data;
assert.deepEqual({ ...back, updated_at: null }, { ...reopened.data?.data, updated_at: null });
const redone = await api.POST("/history/{history_id}/undo", entryOf(restored.response));
assert.equal(redone.data?.popup, "TASK_DELETED");
assert.equal(redone.data?.data, null);
const tooLate = await api.POST("/history/{history_id}/undo", entryOf(updated.response));
assert.equal(tooLate.response.status, 409);
assert.equal(tooLate.error?.error, "The task has changed since");

const entry = await api.GET("/history/{history_id}", entryOf(restored.response));
assert(entry.data?.data.changes);
const { title, is_completed, completed_at }: Changes = entry.data.data.changes;
const titleBefore: string | null | undefined = title?.before;
const completedAfter: boolean | null | undefined = is_completed?.after;
assert.deepEqual([titleBefore, title?.after], [null, "Buy groceries"]);
assert.deepEqual([completedAfter, completed_at?.after], [false, null]);
assert.equal(entry.data.data.undoes, entryOf(deleted.response).params.path.history_id);
assert.equal(entry.data.data.undone_by, entryOf(redone.response).params.path.history_id);
// @ts-expect-error: no entry keeps it
assert.equal(entry.data.data.changes.updated_at, undefined);

const history = await api.GET("/history", { params: { query: { task_id: task.id, limit: 100 } } });
assert(history.data);
const actions: Action[] = history.data.data.items.map((entry) => entry.action_type);
assert.deepEqual(actions, ["DELETED", "CREATED", "DELETED", "INCOMPLETED", "COMPLETED", "UPDATED", "CREATED"]);
assert.equal(history.data.data.items[0]?.task_title, "Buy groceries");
assert.equal(history.data.data.pagination.total_count, 7);

// Searches, and a list as a file.
const action_type: Action[] = ["CREATED", "COMPLETED"];
const query = { task_id: task.id, q: "groceries", from: task.created_at, action_type };
const found = await api.GET("/history", { params: { query } });
assert.equal(found.data?.data.pagination.total_count, 2);
const file = await api.GET("/tasks", { params: { query: { q: "groceries", format: "csv" } }, parseAs: "text" });
const lines: string[] | undefined = file.data?.split("\r\n");
assert.equal(lines?.[0], "id,title,description,is_completed,created_at,updated_at,completed_at");

// What the document does not allow does not compile, and the service refuses it too.
// @ts-expect-error: an unknown field
const misspelt = await api.POST("/tasks", { body: { titel: "Buy" } });
assert.equal(misspelt.error?.error, "title: is required; titel: is not a known field");
// @ts-expect-error: a condition that a list does not take
await api.GET("/tasks", { params: { header: { "If-Match": "*" } } });
// @ts-expect-error: an action that is none
const unknown = await api.GET("/history", { params: { query: { action_type: ["VANISHED"] } } });
assert.equal(unknown.response.status, 400);
