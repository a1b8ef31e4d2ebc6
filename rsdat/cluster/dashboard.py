"""Dask's dashboard, added to a scheduler that runs already.

Its import (Bokeh) takes as long as all the rest of the scheduler's start: a session is ready
without it, and has it before a browser has drawn its first page.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

from distributed.core import Status

logger = logging.getLogger(__name__)

#: Options of a scheduler whose dashboard is added by :func:`attach`.
SCHEDULER_OPTIONS = {"dashboard_address": "127.0.0.1:0", "dashboard": False}

# Lets what waits for the scheduler (the session's readiness) go first.
_PAUSE = 0.5


async def attach(scheduler: Any) -> None:
    """Add the dashboard's pages to a running scheduler's web server."""
    await asyncio.sleep(_PAUSE)
    try:
        # In a thread: the server goes on answering meanwhile.
        pages = await asyncio.to_thread(importlib.import_module, "distributed.dashboard.scheduler")
    except ImportError as error:
        logger.warning("the session has no Dask dashboard: %s", error)
        return
    if scheduler.status == Status.running:
        pages.connect(scheduler.http_application, scheduler.http_server, scheduler)
