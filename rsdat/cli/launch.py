"""``rsdat launch`` and ``rsdat connect``: from one line to a JupyterLab in the browser."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rsdat.cli.interrupts import as_interrupts, held
from rsdat.cli.progress import Line, progress_line

if TYPE_CHECKING:
    from rsdat.config.models import Site
    from rsdat.host.base import Host
    from rsdat.session.connect import Lab
    from rsdat.session.find import Found
    from rsdat.session.follow import Ready
    from rsdat.session.model import Session

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]


def launch(
    site: Annotated[
        str, typer.Argument(metavar="SITE | [USER@]HOST", help="Where; this machine by default.")
    ] = "local",
    name: Annotated[str, typer.Option(help="What to call the session.")] = "lab",
    walltime: Annotated[str | None, typer.Option(help="Of the head job, as 8h.")] = None,
    cores: Annotated[int | None, typer.Option(help="Of the head job.")] = None,
    memory: Annotated[str | None, typer.Option(help="Of the head job, as 8GiB.")] = None,
    partition: Annotated[str | None, typer.Option(help="Of head and worker jobs.")] = None,
    account: Annotated[str | None, typer.Option(help="Of head and worker jobs.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Workers to begin with.")] = None,
    no_browser: NoBrowser = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the job script; submit nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start JupyterLab and a Dask cluster as a job, and open it here.

    Without arguments the session runs on this machine. The job goes on when this command, the
    laptop or the network stops: come back with `rsdat connect`.
    """
    from rsdat.cli.sites import overrides, site_for_launch
    from rsdat.session.launch import plan

    options = overrides(
        walltime=walltime, cores=cores, memory=memory, partition=partition, account=account
    )
    began = time.monotonic()
    with progress_line(silent=as_json) as line:
        wanted, host = site_for_launch(site, options, line, contact=not dry_run)
        if dry_run:
            line.clear()
            _print_plan(plan(wanted, name, workers=workers), as_json)
            return
        assert host is not None
        times = {"ssh": time.monotonic() - began}
        session = _submit(wanted, host, name, workers, line, times)
        lab = _wait(session, host, line, times)
    times["total"] = time.monotonic() - began
    _announce(lab, no_browser=no_browser, as_json=as_json, times=times)


def _print_plan(planned: Any, as_json: bool) -> None:
    from rsdat.cli.output import print_json
    from rsdat.session.remote import quoted

    if as_json:
        print_json(
            {
                "site": planned.site.name,
                "script": planned.files["job.sh"],
                "submit": list(planned.submit),
            }
        )
        return
    print(planned.files["job.sh"], end="")
    # Without a queue the submission is itself a script; its text would hide the job's.
    by = f" by: {quoted(planned.submit)}" if planned.site.queue != "local" else ""
    print(f"# nothing was submitted; on {planned.site.name} it would be{by}")


def _submit(
    site: Site, host: Host, name: str, workers: int | None, line: Line, times: dict[str, float]
) -> Session:
    from rsdat.session import memory
    from rsdat.session.follow import Progress
    from rsdat.session.launch import plan, submit

    known = site.connection.route
    route = known if known != "auto" else memory.route_of(site.name)
    planned = plan(site, name, workers=workers, tcp=route == "tcp")
    line(Progress(f"submitting session {planned.id} to {site.name}"))
    began = time.monotonic()
    session: Session | None = None
    try:
        with held():
            # Before it is known to be there: should the answer not come, `rsdat ls` asks the site.
            memory.remember_session(planned.id, site.name)
            session = submit(planned, host)
    except KeyboardInterrupt:
        if session is None:
            raise
        _detach(session, line)
    times["submit"] = time.monotonic() - began
    return session


def _wait(session: Session, host: Host, line: Line, times: dict[str, float]) -> Lab:
    """Wait for readiness and open the tunnel; an interrupt detaches, the job goes on."""
    from rsdat.session.connect import open_lab
    from rsdat.session.follow import follow

    reachable: list[bool] = []
    submitted = time.time()

    def probe(node: str) -> None:
        # The route is found out while JupyterLab starts, so that it costs no time of its own.
        from rsdat.session import memory

        unknown = memory.route_of(session.site.name) is None
        if session.site.queue != "local" and session.site.connection.route == "auto" and unknown:
            reachable.append(host.reaches(node))
            if not reachable[-1]:
                host.put(b"", f"{session.directory}/tcp-wanted")

    try:
        with as_interrupts():
            ready = follow(session, host, line, probe, interactive=sys.stdin.isatty())
            times.update(_stages(ready, submitted, time.time()))
            began = time.monotonic()
            lab = open_lab(
                session, ready, host, line, reachable=reachable[0] if reachable else None
            )
            times["tunnel"] = time.monotonic() - began
            for warning in ready.data.get("warnings", []):
                line.clear()
                print(f"rsdat: {warning}", file=sys.stderr)
            return lab
    except KeyboardInterrupt:
        _detach(session, line)


def _detach(session: Session, line: Line) -> NoReturn:
    """Leave in words; the job goes on."""
    line.clear()
    print(
        f"\nDetached; session {session.id} (job {session.job}) goes on.\n"
        f"  rsdat connect {session.id}   comes back to it\n"
        f"  rsdat stop {session.id}      ends it",
        file=sys.stderr,
    )
    raise typer.Exit(130) from None


def _stages(ready: Ready, submitted: float, seen: float) -> dict[str, float]:
    """Where the time from submission to readiness went, as far as the two clocks agree."""
    times = ready.data.get("times", {})
    if not {"job", "lab", "dask"} <= times.keys():
        return {}
    return {
        "queue": times["job"] - submitted,
        "lab": times["lab"] - times["job"],
        "dask": times["dask"] - times["lab"],
        "notice": seen - times["dask"],
    }


def connect(
    session: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="Id, name, SITE or SITE/ID.")
    ] = None,
    no_browser: NoBrowser = False,
    as_json: Json = False,
) -> None:
    """Come back to a session, from any laptop, after any break."""
    from rsdat.session import memory
    from rsdat.session.find import find
    from rsdat.session.follow import Ready
    from rsdat.session.model import State

    began = time.monotonic()
    times: dict[str, float] = {}
    with progress_line(silent=as_json) as line:
        found = find(session, ended=True, interactive=sys.stdin.isatty())
        overview, host = found.overview, found.host
        _refuse_inside(found)
        memory.remember_session(overview.session.id, overview.session.site.name)
        _refuse_ended(overview)
        times["find"] = time.monotonic() - began
        if overview.state is State.READY and overview.record.ready:
            from rsdat.session.connect import open_lab

            step = time.monotonic()
            lab = open_lab(overview.session, Ready.from_json(overview.record.ready), host, line)
            times["tunnel"] = time.monotonic() - step
        else:
            lab = _wait(overview.session, host, line, times)
    times["total"] = time.monotonic() - began
    _announce(lab, no_browser=no_browser, as_json=as_json, times=times)


def _refuse_inside(found: Found) -> None:
    from rsdat.errors import SessionError
    from rsdat.session.connect import existing_lab

    lab = existing_lab(found.overview, found.host)
    if lab is not None and lab.socket:
        raise SessionError(
            f"this terminal runs inside session {lab.session.id}: its page is in your browser",
            hint=f"rsdat connect {lab.session.id}   on your laptop gives its address",
        )


def _refuse_ended(overview: Any) -> None:
    from rsdat.errors import QueueError, SessionError
    from rsdat.session.model import State

    session = overview.session
    if overview.state in (State.ENDED, State.ENDING):
        verb = "has ended" if overview.state is State.ENDED else "is ending"
        raise SessionError(
            f"session {session.id} {verb}" + (f": {overview.why}" if overview.why else ""),
            hint=f"rsdat launch {session.site.name}   (its log: rsdat logs {session.id})",
        )
    if overview.state is State.UNKNOWN and not overview.record.ready:
        raise QueueError(
            f"the job queue of {session.site.name} does not answer, so the state of session "
            f"{session.id} is unknown",
            hint="Nothing is lost; try again in a while.",
        )


def _announce(
    lab: Lab, *, no_browser: bool, as_json: bool, times: dict[str, float] | None = None
) -> None:
    from rsdat.cli.output import print_json

    session = lab.session
    if as_json:
        print_json(
            {
                "session": session.id,
                "site": session.site.name,
                "job": session.job,
                "directory": session.directory,
                "url": lab.url,
                "port": lab.port,
                "seconds": {key: round(value, 3) for key, value in (times or {}).items()},
            }
        )
    else:
        print(f"Session {session.id} is ready on {session.site.name} (job {session.job}).")
        print(f"\n    {lab.url}\n")
        print(f"  rsdat scale 4 {session.id}   four workers     rsdat status {session.id}")
        print(f"  rsdat stop {session.id}      ends it          rsdat connect {session.id}")
    if not no_browser and not as_json:
        from rsdat.session.browser import open_browser

        open_browser(lab)
