"""The commands on running sessions: ls, status, logs, scale, adapt, stop, doctor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli.launch import Json, connect, launch
from rsdat.cli.progress import Line, progress_line

if TYPE_CHECKING:
    from rsdat.session.connect import Lab
    from rsdat.session.find import Found

Reference = Annotated[
    str | None, typer.Argument(metavar="SESSION", help="Id, name, SITE or SITE/ID.")
]


def register(app: typer.Typer) -> None:
    """Add the session commands to the program."""
    for command in (launch, connect, ls, status, logs, scale, adapt, stop, doctor):
        app.command()(command)


def ls(
    sites: Annotated[list[str] | None, typer.Argument(metavar="SITE", help="Sites to ask.")] = None,
    ended: Annotated[bool, typer.Option("--all", "-a", help="Ended sessions, too.")] = False,
    as_json: Json = False,
) -> None:
    """List your sessions: here, and on the sites used from here."""
    from rsdat.cli.output import print_json, print_table, report_error
    from rsdat.cli.words import duration, overview_json, worker_jobs
    from rsdat.session.find import ask_sites, candidates, sessions_here

    found, failed = ask_sites(sites or candidates(), ended=ended, interactive=sys.stdin.isatty())
    problems = list(failed.values())
    if not sites:
        found += sessions_here(found)
    shown = [one.overview for one in found if ended or one.overview.state.live]
    if as_json:
        print_json([overview_json(one) for one in shown])
    elif shown:
        rows = [
            (
                one.session.id,
                one.session.site.name,
                one.state,
                one.session.job,
                one.record.node or "",
                duration(one.head.elapsed if one.head else None),
                worker_jobs(one),
                one.why,
            )
            for one in shown
        ]
        print_table(("SESSION", "SITE", "STATE", "JOB", "NODE", "ELAPSED", "WORKERS", ""), rows)
    elif not problems:
        print("No sessions. `rsdat launch` starts one.", file=sys.stderr)
    for problem in problems:
        report_error(problem)
    if problems:
        raise typer.Exit(problems[0].exit_code)


def status(session: Reference = None, as_json: Json = False) -> None:
    """Show one session: job, times, workers, dashboard, core-hours."""
    from rsdat.cli.output import print_json
    from rsdat.cli.words import overview_json, overview_lines
    from rsdat.session.usage import usage

    found = _find(session, ended=True)
    used = usage(found.overview, found.host)
    inside = _inside(found)
    if as_json:
        print_json(overview_json(found.overview, used, inside))
    else:
        print("\n".join(overview_lines(found.overview, used, inside)))


def _inside(found: Found) -> dict[str, Any] | None:
    """What the session's own server says of its cluster, where a tunnel stands."""
    from rsdat.cluster import rest
    from rsdat.errors import RsdatError
    from rsdat.session.connect import existing_lab
    from rsdat.session.model import State

    if found.overview.state is not State.READY:
        return None
    try:
        lab = existing_lab(found.overview, found.host)
        if lab is None:
            return None
        inside = rest.status(lab.base, lab.token.reveal(), timeout=10)
    except RsdatError:
        # A server that is busy or just gone: the queue's word is there all the same.
        return None
    inside["dashboard"] = lab.page(str(inside.get("dashboard_link", "")))
    return inside


def logs(
    session: Reference = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    workers: Annotated[bool, typer.Option("--workers", help="The worker jobs' logs.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many, of the end.")] = 200,
) -> None:
    """Print the log of the head job, or of the worker jobs."""
    from rsdat.cli.interrupts import as_interrupts
    from rsdat.session.logs import log_lines

    found = _find(session, ended=True)
    try:
        with as_interrupts():
            for line in log_lines(
                found.overview, found.host, follow=follow, workers=workers, last=lines
            ):
                print(line, flush=follow)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def scale(
    n: Annotated[int, typer.Argument(metavar="N", min=0, help="How many workers.")],
    session: Reference = None,
    pool: Annotated[str | None, typer.Option(help="The pool; the site's first by default.")] = None,
    as_json: Json = False,
) -> None:
    """Set the number of Dask workers."""
    from rsdat.cli.output import print_json
    from rsdat.cluster.rest import scale as set_workers

    lab = _lab(session)
    answer = set_workers(lab.base, lab.token.reveal(), n, pool=pool)
    if as_json:
        print_json(answer)
    else:
        where = f" of pool {pool}" if pool else ""
        print(f"Session {lab.session.id}: {n} worker{'' if n == 1 else 's'}{where} wanted.")


def adapt(
    minimum: Annotated[int, typer.Argument(metavar="MIN", min=0, help="The fewest workers.")],
    maximum: Annotated[int, typer.Argument(metavar="MAX", min=0, help="The most workers.")],
    session: Reference = None,
    as_json: Json = False,
) -> None:
    """Let the number of Dask workers follow the work."""
    from rsdat.cli.output import print_json
    from rsdat.cluster.rest import adapt as set_range

    lab = _lab(session)
    answer = set_range(lab.base, lab.token.reveal(), minimum, maximum)
    if as_json:
        print_json(answer)
    else:
        print(f"Session {lab.session.id}: between {minimum} and {maximum} workers, as work needs.")


def stop(
    session: Reference = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions known here.")] = False,
    as_json: Json = False,
) -> None:
    """End a session: cancel its jobs, and see that they are gone."""
    from rsdat.cli.interrupts import as_interrupts
    from rsdat.cli.output import print_json, report_error
    from rsdat.errors import RsdatError
    from rsdat.session.find import ask_sites, candidates

    problems: list[RsdatError] = []
    if everything:
        found, failed = ask_sites(candidates(), interactive=sys.stdin.isatty())
        problems = list(failed.values())
        # One that ended without a word may have left something.
        found = [one for one in found if one.overview.state.live or not one.overview.record.end]
    else:
        found = [_find(session, ended=True, certain=True)]
    ended = []
    with progress_line(silent=as_json) as line, as_interrupts():
        for one in found:
            try:
                jobs = _end(one, line)
            except RsdatError as error:
                problems.append(error)
                continue
            ended.append({"session": one.overview.session.id, "cancelled": jobs})
            if not as_json:
                line.clear()
                print(_stopped(one.overview.session.id, jobs))
    if as_json:
        print_json(ended)
    elif not found and not problems:
        print("No sessions to stop.", file=sys.stderr)
    for problem in problems:
        report_error(problem)
    if problems:
        raise typer.Exit(problems[0].exit_code)


def _end(found: Found, line: Line) -> list[str]:
    """Stop one session; an interrupt says what is left to do."""
    from rsdat.session.stop import stop

    session = found.overview.session.id
    try:
        return stop(found.overview, found.host, line)
    except KeyboardInterrupt:
        line.clear()
        print(
            f"\nInterrupted before the jobs of session {session} were seen to be gone.\n"
            f"  rsdat stop {session}   goes on",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


def _stopped(session: str, jobs: list[str]) -> str:
    if not jobs:
        return f"Session {session} had ended already; no job of it is left."
    count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    return f"Stopped session {session}: {count} cancelled and gone."


def doctor(
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site to check.")] = "local",
    as_json: Json = False,
) -> None:
    """Check all that a session on a site needs, and say the fixes."""
    from rsdat.cli.output import print_json
    from rsdat.host import open_host
    from rsdat.session.doctor import diagnose
    from rsdat.session.find import known_site

    wanted = known_site(site)
    findings = []
    for finding in diagnose(wanted, open_host(wanted.connection, name=site)):
        findings.append(finding)
        if not as_json:
            mark = {True: "ok  ", False: "FAIL", None: "?   "}[finding.ok]
            print(f"{mark}  {finding.check:<14} {finding.message}")
            if finding.fix and finding.ok is not True:
                print(f"      {'':<14} → {finding.fix}")
    if as_json:
        print_json([vars(one) for one in findings])
    if any(one.ok is False for one in findings):
        raise typer.Exit(4)


def _find(session: str | None, *, ended: bool = False, certain: bool = False) -> Found:
    from rsdat.session.find import find

    return find(session, ended=ended, certain=certain, interactive=sys.stdin.isatty())


def _lab(session: str | None) -> Lab:
    """A connection to the session's JupyterLab, made where there is none."""
    from rsdat.session.connect import lab_of

    found = _find(session)
    return lab_of(found.overview, found.host)
