// A frontend's client, typed by the OpenAPI document alone: it walks through a task's life.
import assert from "node:assert/strict";
import { argv } from "node:process";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Task = components["schemas"]["TaskResponse"];
type Action = components["schemas"]["ActionType"];

// The compiler asks for a toast for each popup, and refuses one for anything else.
const toasts: Record<components["schemas"]["Popup"], string> = {
  TASK_CREATED: "Created",
  TASK_UPDATED: "Saved",
  TASK_COMPLETED: "Done",
  TASK_INCOMPLETE: "Open again",
  TASK_DELETED: "Deleted",
};

const api = createClient<paths>({ baseUrl: argv[2] ?? "http://127.0.0.1:8000" });

const created = await api.POST("/tasks", { body: { title: "Buy", description: null } });
assert(created.data);
const task: Task = created.data.data;
assert.equal(toasts[created.data.popup], "Created");

const params = { path: { task_id: task.id } };
const updated = await api.PUT("/tasks/{task_id}", { params, body: { title: "Buy groceries" } });
assert.equal(updated.data?.data.title, "Buy groceries");
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

const history = await api.GET("/history", { params: { query: { task_id: task.id, limit: 100 } } });
assert(history.data);
const actions: Action[] = history.data.data.items.map((entry) => entry.action_type);
assert.deepEqual(actions, ["DELETED", "INCOMPLETED", "COMPLETED", "UPDATED", "CREATED"]);
assert.equal(history.data.data.pagination.total_count, 5);

// What the document does not allow does not compile, and the service refuses it too.
// @ts-expect-error: an unknown field
const misspelt = await api.POST("/tasks", { body: { titel: "Buy" } });
assert.equal(misspelt.error?.error, "title: is required; titel: is not a known field");
// @ts-expect-error: an action that is none
const unknown = await api.GET("/history", { params: { query: { action_type: "VANISHED" } } });
assert.equal(unknown.response.status, 400);
