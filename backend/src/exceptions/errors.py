"""What can go wrong, in the service's own words. Nothing here knows HTTP."""

# The sentences of failures that middleware finds, where no ServiceError can be raised.
API_KEY_REQUIRED = "An API key is required: Authorization: Bearer KEY"
BODY_TOO_LARGE = "The request body is too large"
HOST_NOT_TRUSTED = "Host: is not a host that this service answers for; TRUSTED_HOSTS names those"
UNEXPECTED_FAILURE = "Something went wrong on our side"


class ServiceError(Exception):
    """A failure that the caller is told of: `message` is one sentence without internals."""

    message: str


class TaskNotFound(ServiceError):
    """There is no such task, or no longer."""

    message = "Task not found"


class DatabaseUnavailable(ServiceError):
    """The database could not be reached, or did not finish in time."""

    message = "The database is not available at the moment; please try again"


class TooManyLists(ServiceError):
    """The lists that callers have not read yet take up all the space that there is for them."""

    message = "Too many long lists are being read at the moment; please try again, or ask for pages with limit"


class NotJson(ServiceError):
    """The request has a body that does not say that it is JSON."""

    message = "The request body must be JSON, with the header Content-Type: application/json"


class SchemaOutdated(ServiceError):
    """The database has not the schema of this code."""

    message = "The database schema is not the one that this version needs"
