"""The routes of version 1 of the API."""

from fastapi import APIRouter

from src.api.v1 import health, history, stats, tasks

router = APIRouter()
for module in (tasks, history, stats, health):
    router.include_router(module.router)
