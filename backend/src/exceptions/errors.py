"""The failures that callers are told about. Nothing here knows HTTP; `handlers` has the status codes."""

# The sentences of failures that middleware answers itself: outside the routes, nothing handles a ServiceError.
API_KEY_REQUIRED = "An API key is required: Authorization: Bearer KEY"
BODY_TOO_LARGE = "The request body is too large"
HOST_NOT_TRUSTED = "Host: is not a host that this service answers for; TRUSTED_HOSTS names those"
UNEXPECTED_FAILURE = "Something went wrong on our side"


class ServiceError(Exception):
    """A failure that callers are told about. `message` is one sentence, without internals."""

    message: str


class TaskNotFound(ServiceError):
    """The task does not exist, or no longer does."""

    message = "Task not found"


class EntryNotFound(ServiceError):
    """There is no such history entry."""

    message = "History entry not found"


class UndoConflict(ServiceError):
    """A field that a history entry changed has another value by now, so the entry cannot be undone."""

    message = "The task has changed since"


class EntryTooOld(ServiceError):
    """The history entry does not hold its change, because an older version of the service wrote it."""

    message = "This entry is too old to be undone"


class PreconditionFailed(ServiceError):
    """The task has none of the entity tags that the caller named. `updated_at` is the one that it has."""

    message = "The task has changed since you read it"

    def __init__(self, updated_at: str) -> None:
        self.updated_at = updated_at


class KeyReused(ServiceError):
    """The Idempotency-Key has created a task with another title or description."""

    message = "Idempotency-Key: was used for another task"


class InvalidInput(ServiceError):
    """A header or a parameter of the request does not follow its rule."""

    def __init__(self, name: str, rule: str) -> None:
        self.message = f"{name}: {rule}"


class DatabaseUnavailable(ServiceError):
    """The database could not be reached, or did not finish in time."""

    message = "The database is not available at the moment; please try again"


class DiskFull(ServiceError):
    """The database has no room on its disk, so it refuses changes."""

    message = "The disk of the database is full"


class TooManyLists(ServiceError):
    """Whole lists that callers have not finished reading use up the space of MAX_LIST_BYTES."""

    message = "Too many long lists are being read at the moment; please try again, or ask for pages with limit"


class TooManyExports(ServiceError):
    """Exports that callers have not finished reading hold all the connections that exports may have."""

    message = "Too many exports are being read at the moment; please try again"


class TooManyListeners(ServiceError):
    """As many callers listen to events as may, so that enough connections are left for the others."""

    message = "Too many callers listen to events at the moment; please try again"


class NotJson(ServiceError):
    """The request body is not declared as JSON."""

    message = "The request body must be JSON, with the header Content-Type: application/json"


class SchemaOutdated(ServiceError):
    """The schema of the database is not the one that this code needs."""

    message = "The database schema is not the one that this version needs"
