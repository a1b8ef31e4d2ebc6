"""The head job's program: credentials, JupyterLab with its Dask cluster, and an orderly end.

Run as ``python -m rsdat.session.head`` in the session directory. JupyterLab runs inside this
process: the Dask scheduler lives there anyway (the lab extension starts it), one Python start is
saved, and further listening sockets can be added to the running server.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, cast

from rsdat.cluster.layout import Layout
from rsdat.config.models import Site
from rsdat.errors import RsdatError
from rsdat.session.expiry import expiring
from rsdat.session.files import write_atomically
from rsdat.session.identity import preferred_port

# Until a laptop has asked for TCP, the session directory is looked at so often (s): most ask while
# they launch, and the directory is on a file system that all share.
_TCP_POLL, _LATER_TCP_POLL, _LATER = 0.2, 2.0, 60.0

_WORDS = {
    "walltime": "the walltime ends soon: the worker jobs and JupyterLab stop now",
    "stopped": "stopped on request",
}
# Seconds after which an exit that somebody has swallowed is asked for again.
_AGAIN = 3.0
# Slurm's warning before the walltime ends, and its (or `rsdat stop`'s) TERM.
_ENDS = {signal.SIGUSR1: "walltime", signal.SIGTERM: "stopped"}


def prepare(layout: Layout, site: Site) -> dict[str, str]:
    """Write the session's credentials and configuration; returns the variables to export."""
    from rsdat.cluster.configuration import write_dask_config
    from rsdat.cluster.security import make_credentials

    # A job that the queue has put back in line is the same session, at the same address.
    if not Path(layout.token).exists():
        write_atomically(Path(layout.token), secrets.token_urlsafe(32))
    make_credentials(layout)
    Path(layout.workers).mkdir(mode=0o700, exist_ok=True)
    workers = json.loads(Path(layout.request).read_text()).get("workers")
    return write_dask_config(layout, site, workers=workers)


def lab_arguments(site: Site, *, socket_path: str | None, port: int, root: bool) -> list[str]:
    """JupyterLab's arguments (seen by this process only, and free of secrets).

    Parameters
    ----------
    socket_path
        Listen on this unix socket; None listens on ``127.0.0.1:port``, or the next free port.
    root
        Whether the user is root, whom Jupyter refuses unless told.
    """
    arguments = [
        "--ServerApp.open_browser=False",
        "--ServerApp.jpserver_extensions=rsdat.cluster.extension=True",
        # Kernels talk over unix sockets: TCP ports on loopback are open to everyone on the node.
        "--KernelManager.transport=ipc",
        # Compute nodes reach no internet: do not let the page wait for it.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--ServerApp.root_dir={Path(os.path.expandvars(site.jupyter.root_directory)).expanduser()}",
    ]
    if socket_path:
        arguments += [f"--ServerApp.sock={socket_path}", "--ServerApp.sock_mode=0600"]
    else:
        arguments += [
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=50",
        ]
    if root:
        arguments.append("--allow-root")
    return [*arguments, *site.jupyter.arguments]


def lab_settings(private: Path) -> Path:
    """Write JupyterLab's default settings for a session; those of the installation stay.

    The page would ask everybody whether to fetch news, which no compute node can.
    """
    installed = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings"
    settings = private / "settings"
    shutil.copytree(installed, settings) if installed.is_dir() else settings.mkdir()
    overrides = settings / "overrides.json"
    merged = json.loads(overrides.read_text()) if overrides.exists() else {}
    merged.setdefault("@jupyterlab/apputils-extension:notification", {}).setdefault(
        "fetchNews", "false"
    )
    overrides.write_text(json.dumps(merged))
    return settings


class Lifecycle:
    """What the head does while JupyterLab runs: announce, open TCP on demand, end in order."""

    def __init__(self, layout: Layout, site: Site, server: Any, ready: dict[str, Any]) -> None:
        self.layout = layout
        self.site = site
        self.server = server
        self.ready = ready
        self.ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Announce the session when Dask accepts a client, then watch for a wish for TCP."""
        try:
            loop = asyncio.get_running_loop()
            for number, reason in _ENDS.items():
                loop.add_signal_handler(number, self.finish, reason)
            self.ready["times"]["lab"] = time.time()
            await self._cluster_ready()
            self.ready["times"]["dask"] = time.time()
            if Path(self.layout.tcp_wanted).exists():
                self._open_tcp()
            self._announce()
            print("rsdat: the session is ready", flush=True)
            await self._open_tcp_on_demand()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self.ending is not None:
                return
            # A session without Dask is not what was asked for: end, and say why in the log.
            import traceback

            traceback.print_exc()
            write_end(self.layout, "failed", f"{type(error).__name__}: {error}")
            self.server.stop()

    async def _cluster_ready(self) -> None:
        from dask_labextension.manager import manager

        from rsdat.cluster import cluster_accepts_client

        await manager
        self.ready["scheduler"] = await cluster_accepts_client(self.layout)

    async def _open_tcp_on_demand(self) -> None:
        began = time.monotonic()
        while self.ready["socket"] and not self.ready["tcp"] and self.ending is None:
            later = time.monotonic() - began > _LATER
            await asyncio.sleep(_LATER_TCP_POLL if later else _TCP_POLL)
            try:
                # Not a stat: a network file system would go on denying a file for a while.
                if self.layout.tcp_wanted.name in os.listdir(self.layout.directory):
                    self._open_tcp()
                    self._announce()
            except (OSError, RsdatError) as error:
                # Those who are connected already need no TCP: no reason to end their session.
                print(f"rsdat: no TCP address can be opened: {error}", flush=True)
                await asyncio.sleep(_LATER)

    def _open_tcp(self) -> None:
        from tornado.netutil import bind_sockets

        from rsdat.cluster.addresses import internal_address

        address = internal_address(self.site.connection.interface)
        sockets = bind_sockets(0, address)
        self.server.http_server.add_sockets(sockets)
        self.ready["tcp"] = {"host": address, "port": sockets[0].getsockname()[1]}

    def _announce(self) -> None:
        write_atomically(Path(self.layout.ready), json.dumps(self.ready, indent=2))

    def finish(self, reason: str) -> None:
        """Begin the orderly end; a second signal changes nothing."""
        if self.ending is None:
            self.ending = asyncio.ensure_future(self._finish(reason))

    async def _finish(self, reason: str) -> None:
        print(f"rsdat: {_WORDS[reason]}", flush=True)
        write_end(self.layout, reason, _WORDS[reason])
        from rsdat.cluster.extension import drain

        try:
            await asyncio.wait_for(drain(reason), 20)
        except Exception as error:
            # The queue's jobs are cancelled by name below in any case.
            print(f"rsdat: the Dask cluster did not close in order: {error}", flush=True)
        self.server.stop()


def write_end(layout: Layout, reason: str, message: str) -> None:
    """Say once why the session ended; the first reason stays."""
    if not Path(layout.end).exists():
        body = {"reason": reason, "message": message, "time": time.time()}
        write_atomically(Path(layout.end), json.dumps(body))


def cancel_workers(layout: Layout, site: Site, *, patience: float = 45) -> None:
    """Cancel whatever worker jobs of this session the queue still knows.

    A queue that does not answer is asked again for ``patience`` seconds.
    """
    from rsdat.cluster.workers import is_worker_job, jobs_prefix
    from rsdat.host import open_host
    from rsdat.jobqueue import queue_named

    if Path(layout.workers).is_dir() and not os.listdir(layout.workers):
        return
    queue, host = queue_named(site.queue), open_host(None)
    deadline = time.monotonic() + patience
    while True:
        try:
            answer = host.run(queue.status_by_name(jobs_prefix(layout.id)), timeout=30)
            jobs = queue.parse_status(answer.stdout).values()
            left = [j.id for j in jobs if is_worker_job(layout.id, j.name) and not j.state.over]
            if left:
                host.run(queue.cancel(left), timeout=30)
            return
        except (RsdatError, TimeoutError) as error:
            if time.monotonic() > deadline:
                print(f"rsdat: worker jobs may be left: {error}", flush=True)
                return
        time.sleep(1)


def end_on_signals(layout: Layout) -> None:
    """End on TERM and USR1 as long as there is no event loop that could take them."""

    def end(number: int, frame: FrameType | None) -> None:
        ignore_signals()
        reason = _ENDS[signal.Signals(number)]
        print(f"rsdat: {_WORDS[reason]}", flush=True)
        write_end(layout, reason, _WORDS[reason])
        # In a finaliser, of which imports run thousands, an exit is lost but for a complaint.
        sys.unraisablehook = lambda lost: None
        signal.signal(signal.SIGALRM, leave)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        leave(number, frame)

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit

    for number in _ENDS:
        signal.signal(number, end)


def ignore_signals() -> None:
    """Let nothing but KILL disturb the end: Slurm and the job's shell send TERM one after other."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Run the session that lies in the current directory until it ends."""
    started = time.time()
    layout = Layout(_here())
    if Path(layout.end).exists():
        print("rsdat: the session was ended before its job began", flush=True)
        return
    end_on_signals(layout)
    # Of a run before this one, where the queue has put the job back in line.
    Path(layout.ready).unlink(missing_ok=True)
    write_atomically(Path(layout.node), socket.gethostname())
    site = Site.model_validate_json(Path(layout.site).read_text())
    # Sockets need a short path on a disk of this node: shared file systems refuse them.
    private = tempfile.mkdtemp(prefix="rsdat-", dir="/tmp")
    try:
        os.environ.update(prepare(layout, site))
        os.environ["JUPYTER_TOKEN_FILE"] = str(layout.token)
        os.environ.pop("JUPYTER_TOKEN", None)
        os.environ["JUPYTER_RUNTIME_DIR"] = f"{private}/runtime"
        settings = lab_settings(Path(private))
        socket_path = None if site.queue == "local" else f"{private}/lab.sock"
        _serve(layout, site, socket_path, settings, started)
    finally:
        ignore_signals()
        write_end(layout, "closed", "JupyterLab was shut down")
        cancel_workers(layout, site)
        shutil.rmtree(private, ignore_errors=True)


def _serve(
    layout: Layout, site: Site, socket_path: str | None, settings: Path, started: float
) -> None:
    # jsonschema imports this package for an optional check of one string format, and does without
    # it where it is absent. Its grammar takes 0.7 s of JupyterLab's start to build.
    sys.modules.setdefault("rfc3987_syntax", cast(ModuleType, None))
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import LabApp

    # Its handlers would take the place of ours.
    ServerApp.init_signal = lambda server: None
    port = preferred_port(layout.id)
    arguments = lab_arguments(site, socket_path=socket_path, port=port, root=os.geteuid() == 0)
    arguments = [
        f"--LabApp.app_settings_dir={settings}",
        # The page remembers the dashboard it showed: an older session's would be a dead one.
        f"--LabApp.workspaces_dir={layout.directory}/workspaces",
        *arguments,
    ]
    server = LabApp.initialize_server(argv=arguments)
    # A token, or none, in the user's own Jupyter configuration would win over the session's.
    server.identity_provider.token = Path(layout.token).read_text()
    end = os.environ.get("SLURM_JOB_END_TIME")
    ends = float(end) if end else None
    ready = {
        "node": socket.gethostname(),
        "socket": socket_path,
        "tcp": None if socket_path else {"host": "127.0.0.1", "port": server.port},
        "base_url": server.base_url,
        "pid": os.getpid(),
        "ends": ends,
        "warnings": expiring(site, ends),
        "times": {"job": job_started(), "head": started},
    }
    lifecycle = Lifecycle(layout, site, server, ready)
    server.io_loop.add_callback(lifecycle.run)
    server.start()


def job_started() -> float:
    """When this job's first process, the shell that runs the script, was started."""
    try:
        # Boot time in /proc/stat is whole seconds; the uptime and a start in ticks are not.
        fields = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
        age = float(Path("/proc/uptime").read_text().split()[0]) - (
            int(fields[19]) / os.sysconf("SC_CLK_TCK")
        )
    except (OSError, ValueError, IndexError):
        return time.time()
    return time.time() - age


def _here() -> Any:
    from pathlib import PurePosixPath

    # The logical path, not getcwd(): automounters and symlinked homes resolve to names that other
    # nodes may not know.
    return PurePosixPath(os.environ.get("PWD") or os.getcwd())


if __name__ == "__main__":
    main()
