"""HTTP handlers of the session's cluster in the Jupyter server; the server checks the token."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web  # type: ignore[attr-defined]

from rsdat.cluster import extension
from rsdat.cluster.status import describe
from rsdat.errors import RsdatError


class _Handler(APIHandler):  # type: ignore[misc]
    def answer(self) -> None:
        """The cluster's state, which every request of ours is answered with."""
        self.finish(json.dumps(describe(extension.session_cluster())))

    def refuse(self, error: RsdatError) -> None:
        """An error with its next step."""
        self.set_status(400)
        self.finish(extension.error_body(error))

    def numbers(self, *names: str) -> list[int]:
        """Whole numbers of the request's JSON body. Raises HTTP 400."""
        body: Any = self.get_json_body() or {}
        values = [body.get(name) for name in names]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise web.HTTPError(400, f"expected whole numbers: {', '.join(names)}")
        return values


class StatusHandler(_Handler):
    """``GET /rsdat/status``."""

    @web.authenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """The cluster's state."""
        try:
            self.answer()
        except RsdatError as error:
            self.refuse(error)


class ScaleHandler(_Handler):
    """``POST /rsdat/scale`` with ``{"workers": n, "pool": name or null}``."""

    @web.authenticated  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Scale a pool; the answer is the cluster's state."""
        (workers,) = self.numbers("workers")
        pool = (self.get_json_body() or {}).get("pool")
        try:
            extension.scale_session(workers, pool)
            self.answer()
        except RsdatError as error:
            self.refuse(error)


class AdaptHandler(_Handler):
    """``POST /rsdat/adapt`` with ``{"minimum": n, "maximum": m}``."""

    @web.authenticated  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Adapt the first pool; the answer is the cluster's state."""
        minimum, maximum = self.numbers("minimum", "maximum")
        try:
            extension.adapt_session(minimum, maximum)
            self.answer()
        except RsdatError as error:
            self.refuse(error)
