"""The textbook: the same endpoints as most tutorials and templates write them.

An ORM session for each request, from a dependency; `add`, `flush`, `commit` and `refresh`;
`response_model`; `count()` and `offset`. It has the same driver and the same tables, but it maintains no
counts, and has no limits and no request log.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, DateTime, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

# One connection for each caller. With fewer, it deadlocks: every request holds its connection until it gets
# another of FastAPI's 40 threads to check its response, and those threads wait for connections.
engine = create_engine(os.environ.get("DATABASE_URL", "postgresql+psycopg2://"), pool_size=100, max_overflow=0)
SessionLocal = sessionmaker(engine)


class Base(DeclarativeBase):
    """The tables."""


class Task(Base):
    """A task."""

    __tablename__ = "tasks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None]
    is_completed: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), index=True)


class TaskHistory(Base):
    """A change of a task."""

    __tablename__ = "task_history"

    history_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    task_id: Mapped[UUID] = mapped_column(index=True)
    action_type: Mapped[str] = mapped_column(String(20))
    description: Mapped[str]
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
    task_title: Mapped[str]
    changes: Mapped[dict[str, Any]] = mapped_column(JSON)


DataT = TypeVar("DataT")


class Envelope(BaseModel, Generic[DataT]):
    """The body of every response."""

    success: bool = True
    data: DataT
    popup: str | None = None
    error: str | None = None


class TaskCreate(BaseModel):
    """A task to create."""

    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=5000)


class TaskUpdate(BaseModel):
    """The changes to a task."""

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=5000)


class TaskOut(BaseModel):
    """A task."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    is_completed: bool
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class HistoryOut(BaseModel):
    """A change of a task."""

    model_config = ConfigDict(from_attributes=True)

    history_id: UUID
    task_id: UUID
    action_type: str
    description: str
    timestamp: datetime
    task_title: str


class PaginationOut(BaseModel):
    """The position of a page."""

    total_count: int
    total_pages: int
    current_page: int
    page_size: int
    has_next: bool
    has_prev: bool


class HistoryPage(BaseModel):
    """A page of the history."""

    items: list[HistoryOut]
    pagination: PaginationOut


class Stats(BaseModel):
    """The counts of the week."""

    tasks_created_this_week: int
    tasks_completed_this_week: int
    total_completed: int
    total_incomplete: int
    total_tasks: int
    week_start: datetime
    week_end: datetime


app = FastAPI()


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


Db = Annotated[Session, Depends(get_db)]


def envelope(data: object, popup: str | None = None) -> dict[str, object]:
    return {"success": True, "data": data, "popup": popup, "error": None}


def find_task(db: Session, task_id: UUID) -> Task:
    task = db.get(Task, task_id)
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


def values_of(task: Task) -> dict[str, Any]:
    fields = {"title", "description", "is_completed", "completed_at", "created_at"}
    return TaskOut.model_validate(task).model_dump(mode="json", include=fields)


def log_action(db: Session, task: Task, action_type: str, description: str, before: dict[str, Any] | None) -> None:
    changes = {
        field: {"before": before[field] if before else None, "after": value}
        for field, value in values_of(task).items()
        if before is None or before[field] != value
    }
    entry = TaskHistory(
        task_id=task.id, action_type=action_type, description=description, task_title=task.title, changes=changes
    )
    db.add(entry)


@app.post("/tasks", response_model=Envelope[TaskOut], status_code=201)
def create_task(body: TaskCreate, db: Db) -> Any:
    task = Task(title=body.title, description=body.description)
    db.add(task)
    db.flush()
    log_action(db, task, "CREATED", f"Task created: '{task.title}'", None)
    db.commit()
    db.refresh(task)
    return envelope(task, "TASK_CREATED")


@app.get("/tasks", response_model=Envelope[list[TaskOut]])
def list_tasks(db: Db, limit: Annotated[int | None, Query(ge=1, le=100)] = None) -> Any:
    tasks = select(Task).order_by(Task.is_completed, Task.created_at.desc(), Task.id).limit(limit)
    return envelope(db.scalars(tasks).all())


@app.get("/tasks/{task_id}", response_model=Envelope[TaskOut])
def get_task(task_id: UUID, db: Db) -> Any:
    return envelope(find_task(db, task_id))


@app.put("/tasks/{task_id}", response_model=Envelope[TaskOut])
def update_task(task_id: UUID, body: TaskUpdate, db: Db) -> Any:
    task = find_task(db, task_id)
    before = values_of(task)
    for field, value in body.model_dump(exclude_unset=True).items():
        setattr(task, field, value)
    log_action(db, task, "UPDATED", "Task updated", before)
    db.commit()
    db.refresh(task)
    return envelope(task, "TASK_UPDATED")


@app.patch("/tasks/{task_id}/complete", response_model=Envelope[TaskOut])
def complete_task(task_id: UUID, db: Db) -> Any:
    return set_completed(db, task_id, is_completed=True)


@app.patch("/tasks/{task_id}/incomplete", response_model=Envelope[TaskOut])
def reopen_task(task_id: UUID, db: Db) -> Any:
    return set_completed(db, task_id, is_completed=False)


def set_completed(db: Session, task_id: UUID, *, is_completed: bool) -> Any:
    task = find_task(db, task_id)
    if task.is_completed != is_completed:
        before = values_of(task)
        task.is_completed = is_completed
        task.completed_at = datetime.now(UTC) if is_completed else None
        action = "COMPLETED" if is_completed else "INCOMPLETED"
        log_action(db, task, action, f"Task marked as {'completed' if is_completed else 'incomplete'}", before)
        db.commit()
        db.refresh(task)
    return envelope(task, "TASK_COMPLETED" if is_completed else "TASK_INCOMPLETE")


@app.get("/history", response_model=Envelope[HistoryPage])
def get_history(db: Db, page: Annotated[int, Query(ge=1)] = 1, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Any:
    total_count = db.scalar(select(func.count()).select_from(TaskHistory)) or 0
    entries = select(TaskHistory).order_by(TaskHistory.timestamp.desc()).offset((page - 1) * limit).limit(limit)
    total_pages = (total_count + limit - 1) // limit
    pagination = PaginationOut(
        total_count=total_count,
        total_pages=total_pages,
        current_page=page,
        page_size=limit,
        has_next=page < total_pages,
        has_prev=page > 1,
    )
    return envelope({"items": db.scalars(entries).all(), "pagination": pagination})


@app.get("/stats/weekly", response_model=Envelope[Stats])
def get_weekly_stats(db: Db) -> Any:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    week_start = today - timedelta(days=today.weekday())
    week_end = week_start + timedelta(weeks=1)

    def count(*criteria: object) -> int:
        return db.query(Task).filter(*criteria).count()  # type: ignore[arg-type]

    total_tasks = count()
    total_completed = count(Task.is_completed.is_(True))
    return envelope(
        Stats(
            tasks_created_this_week=count(Task.created_at >= week_start, Task.created_at < week_end),
            tasks_completed_this_week=count(Task.completed_at >= week_start, Task.completed_at < week_end),
            total_completed=total_completed,
            total_incomplete=total_tasks - total_completed,
            total_tasks=total_tasks,
            week_start=week_start,
            week_end=week_end - timedelta(seconds=1),
        )
    )
