"""Version 1 of the API."""

from starlette.routing import BaseRoute

from src.api.v1 import events, health, history, stats, tasks

# One flat list: `include_router` would wrap each router, and walking through the wrappers would cost
# every request more time than the database takes for one task.
routes: list[BaseRoute] = [
    route for module in (tasks, history, events, stats, health) for route in module.router.routes
]
