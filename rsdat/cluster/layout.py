"""Where the parts of a session lie in its directory: names only, for all who read or write it.

The directory is 0700 on the cluster's shared file system and, with what the queue says, is the
whole truth about a session::

    ~/.rsdat/sessions/ID/
        site.json      the resolved site, as it was at launch
        request.json   who asked for what, when, with which version
        job.sh         the head job's script, exactly as submitted
        job            the head job's id
        job.log        its output
        node           where the head job runs, from its first moment
        token          JupyterLab's token                         (0600)
        tls/           ca.pem, cert.pem, key.pem of this session   (0600)
        dask/          Dask configuration that kernels and workers read (DASK_CONFIG)
        workers/       worker jobs' logs
        ready.json     addresses; written when JupyterLab and Dask answer
        tcp-wanted     a laptop cannot reach the node by ssh: open one TCP address
        end.json       why and when the session ended
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

#: Names the session's directory to everything that runs inside a session.
SESSION_VARIABLE = "RSDAT_SESSION"


@dataclass(frozen=True)
class Layout:
    """Paths inside one session directory (absolute, on the host where it lies)."""

    directory: PurePosixPath

    @property
    def id(self) -> str:
        """The session's id, which is the directory's name."""
        return self.directory.name

    @property
    def site(self) -> PurePosixPath:
        """The resolved site (JSON)."""
        return self.directory / "site.json"

    @property
    def request(self) -> PurePosixPath:
        """What was asked for (JSON)."""
        return self.directory / "request.json"

    @property
    def script(self) -> PurePosixPath:
        """The head job's script."""
        return self.directory / "job.sh"

    @property
    def job(self) -> PurePosixPath:
        """The head job's id."""
        return self.directory / "job"

    @property
    def log(self) -> PurePosixPath:
        """The head job's output."""
        return self.directory / "job.log"

    @property
    def node(self) -> PurePosixPath:
        """Name of the node where the head job runs."""
        return self.directory / "node"

    @property
    def token(self) -> PurePosixPath:
        """JupyterLab's token."""
        return self.directory / "token"

    @property
    def ca(self) -> PurePosixPath:
        """Certificate authority of the session's Dask cluster."""
        return self.directory / "tls" / "ca.pem"

    @property
    def cert(self) -> PurePosixPath:
        """Certificate of the session's Dask scheduler, workers and clients."""
        return self.directory / "tls" / "cert.pem"

    @property
    def key(self) -> PurePosixPath:
        """Key of :attr:`cert`."""
        return self.directory / "tls" / "key.pem"

    @property
    def dask(self) -> PurePosixPath:
        """Directory of Dask configuration files for kernels, terminals and workers."""
        return self.directory / "dask"

    @property
    def workers(self) -> PurePosixPath:
        """Directory of the worker jobs' logs."""
        return self.directory / "workers"

    @property
    def ready(self) -> PurePosixPath:
        """Addresses of the running session (JSON)."""
        return self.directory / "ready.json"

    @property
    def tcp_wanted(self) -> PurePosixPath:
        """Present when a laptop asks the head to open one TCP address."""
        return self.directory / "tcp-wanted"

    @property
    def end(self) -> PurePosixPath:
        """Why and when the session ended (JSON)."""
        return self.directory / "end.json"
