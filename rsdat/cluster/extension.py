"""The Jupyter server's side of the session's cluster: its REST interface and its orderly end.

The lab extension's manager owns the cluster; what is done here goes through it, so that the panel
shows the same. The manager starts the cluster in the server's event loop as soon as it runs.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from rsdat.errors import ConfigError, RsdatError, SessionError

logger = logging.getLogger(__name__)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "rsdat.cluster.extension"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    from jupyter_server.utils import url_path_join

    from rsdat.cluster.handlers import AdaptHandler, ScaleHandler, StatusHandler

    _mend_manager()
    base = serverapp.web_app.settings["base_url"]
    serverapp.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "rsdat/status"), StatusHandler),
            (url_path_join(base, "rsdat/scale"), ScaleHandler),
            (url_path_join(base, "rsdat/adapt"), AdaptHandler),
        ],
    )


def session_cluster() -> Any:
    """The session's one cluster.

    Raises
    ------
    rsdat.errors.SessionError
        When it has not started yet, or was closed in the panel.
    """
    return _manager()._clusters[_cluster_id()]


def _manager() -> Any:
    from dask_labextension.manager import manager

    return manager


def _cluster_id() -> str:
    clusters = _manager()._clusters
    if not clusters:
        raise SessionError(
            "the session has no Dask cluster",
            hint="Press NEW in the Dask panel, or stop the session and launch it again.",
        )
    return str(next(iter(clusters)))


def scale_session(workers: int, pool: str | None = None) -> None:
    """Scale the session's cluster; raises as :meth:`SlurmCluster.scale` does."""
    cluster = session_cluster()
    cluster.scale(workers, pool=pool)
    if cluster._adaptive is None:
        # Else the panel would go on showing adaptive limits.
        _manager()._adaptives.pop(_cluster_id(), None)


def adapt_session(minimum: int, maximum: int) -> None:
    """Let the session's cluster follow the work."""
    if not 0 <= minimum <= maximum:
        raise ConfigError(
            f"adapt: {minimum} to {maximum} is no range of workers",
            hint="Give the smaller number first, as in `rsdat adapt 0 8`.",
        )
    _manager()._adaptives[_cluster_id()] = session_cluster().adapt(minimum=minimum, maximum=maximum)


async def drain(reason: str) -> None:
    """End the session's cluster in order: no workers, no worker jobs, no scheduler.

    Parameters
    ----------
    reason
        For the log.
    """
    logger.info("closing the Dask cluster: %s", reason)
    await _manager().close()


def _mend_manager() -> None:
    """Two corrections of the lab extension's manager.

    Its SCALE compares the number asked for with the workers *connected*: with 2 of 8 connected,
    SCALE to 2 would do nothing and the other 6 jobs would start later. And a cluster that fails to
    start leaves whoever awaits the manager waiting for ever.
    """
    manager = _manager()
    start = manager.start_cluster

    async def scale_cluster(cluster_id: str, n: int) -> Any:
        cluster = manager._clusters.get(cluster_id)
        if cluster is None:
            return None
        cluster.scale(n)
        if cluster._adaptive is None:
            manager._adaptives.pop(cluster_id, None)
        return manager.get_cluster(cluster_id)

    async def start_cluster(*args: Any, **kwargs: Any) -> Any:
        try:
            return await start(*args, **kwargs)
        except Exception as error:
            if not manager.initialized.done():
                manager.initialized.set_exception(error)
            raise

    manager.scale_cluster = scale_cluster
    manager.start_cluster = start_cluster


def error_body(error: RsdatError) -> str:
    """An error as the body of an answer; :mod:`rsdat.cluster.rest` raises it again."""
    kind = "config" if isinstance(error, ConfigError) else "session"
    return json.dumps({"message": error.message, "hint": error.hint, "kind": kind})
