"""The database tables. Importing this package registers all of them with the metadata."""

from src.models import counts
from src.models.task import Task
from src.models.task_history import ActionType, TaskHistory

__all__ = ["ActionType", "Task", "TaskHistory", "counts"]
