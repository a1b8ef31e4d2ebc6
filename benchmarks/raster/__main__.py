"""Speed and memory of the raster engine beside its peers: ``python -m benchmarks.raster``.

Every run is a fresh process on warm files; the variants take turns. Prints a table per task.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.raster import scenes
from benchmarks.raster.compare import compare
from benchmarks.raster.job import grid_params
from benchmarks.raster.measure import Failed, Run, run, warm
from benchmarks.raster.range_server import Counted, serve
from benchmarks.raster.tasks import FLOOR, TASKS, Task, Variant

Results = dict[str, list[Run]]


def main() -> None:
    options = _options()
    report = {}
    for name in options.names or TASKS:
        task = TASKS[name]
        results, failed, params = measure(task, options)
        verdicts = check(task, results, params)
        print(table(task, results, failed, verdicts), flush=True)
        report[name] = {label: [asdict(one) for one in runs] for label, runs in results.items()}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raster", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"tasks: {', '.join(TASKS)}; default all")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", choices=("small", "full"), default="full")
    parser.add_argument("--only", action="append", help="variants whose name contains this")
    parser.add_argument("--latency", type=float, default=0.05, help="of the server, seconds")
    parser.add_argument("--lock", type=Path, help="hold this file's lock during each run")
    parser.add_argument("--json", type=Path, help="write every run's numbers here")
    parser.add_argument(
        "--scenes", type=Path, default=Path("~/.cache/rsdat-bench").expanduser(), metavar="DIR"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(TASKS):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    return options


def measure(
    task: Task, options: argparse.Namespace
) -> tuple[Results, dict[str, str], dict[str, dict[str, Any]]]:
    """Runs of each variant in turns, the messages of those that failed, and their parameters."""
    variants = [v for v in task.variants if _wanted(v, options.only)]
    with ExitStack() as stack:
        common = prepare(task, options, stack)
        out = options.scenes / "out" / task.name
        out.mkdir(parents=True, exist_ok=True)
        server: Counted | None = common.pop("counted", None)
        params = {
            v.label: {
                **common,
                "count": v.count or task.count,
                "options": v.options,
                "function": v.function,
                "output": str(out / f"{v.label.replace(' ', '-').replace(',', '')}.tif"),
            }
            for v in variants
        }
        results: Results = {v.label: [] for v in variants}
        failed: dict[str, str] = {}
        for turn in range(options.repeat):
            for label in results:
                if label in failed:
                    continue
                _progress(f"{task.name}, run {turn + 1}: {label}")
                try:
                    with _locked(options.lock):
                        results[label].append(_counted(label, params[label], server))
                except Failed as error:
                    failed[label] = str(error)
        _progress("")
    return {label: runs for label, runs in results.items() if runs}, failed, params


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:70}\r", end="", file=sys.stderr)


def _wanted(variant: Variant, only: list[str] | None) -> bool:
    return not only or any(word in variant.label for word in only)


def prepare(task: Task, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """The scenes, made and read once; the grid; the server where the task wants one."""
    if task.scenes is None:
        return {}
    wanted = scenes.collection(task.scenes, options.scale)
    items = scenes.make(wanted, options.scenes)
    grid = scenes.geobox(items[0])
    if task.window:
        side = task.window if options.scale == "full" else task.window // 8
        # At the edge of a block: every variant reads the same blocks.
        start = grid.width // 2 // wanted.block * wanted.block
        grid = grid[start : start + side, start : start + side]
    warm([asset.href for item in items[: task.count] for asset in item.assets.values()])
    listing = scenes.listing(wanted, options.scenes)
    params: dict[str, Any] = {"items": str(listing), "geobox": grid_params(grid)}
    if task.server:
        params["counted"] = stack.enter_context(serve(options.scenes, latency=options.latency))
        params["server"] = params["counted"].url
    return params


def _counted(label: str, params: dict[str, Any], server: Counted | None) -> Run:
    if server is None:
        return run(params["function"], params)
    server.reset()
    done = run(params["function"], params)
    requests, size = server.totals()
    return Run(**{**asdict(done), "found": {**done.found, "requests": requests, "MB": size / 1e6}})


@contextmanager
def _locked(path: Path | None) -> Iterator[None]:
    with path.open("a") if path else nullcontext() as opened:
        if opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def check(task: Task, results: Results, params: dict[str, dict[str, Any]]) -> dict[str, str]:
    """How far each result is from the floor's of as many scenes."""
    references = {
        params[label]["count"]: Path(params[label]["output"])
        for label in results
        if label.startswith(FLOOR)
    }
    verdicts = {}
    for label in results:
        reference = references.get(params[label]["count"])
        other = Path(params[label]["output"])
        if reference is None or not other.exists():
            verdicts[label] = ""
        elif reference == other:
            verdicts[label] = "reference"
        else:
            try:
                verdicts[label] = compare(reference, other).text()
            except ValueError as error:
                verdicts[label] = f"not comparable: {error}"
    return verdicts


def table(task: Task, results: Results, failed: dict[str, str], verdicts: dict[str, str]) -> str:
    """A Markdown table: medians, with the least and the most."""
    extra = list(dict.fromkeys(k for runs in results.values() for one in runs for k in one.found))
    heads = ["wall s", "CPU s", "process s", "peak MB", "× floor", *extra, "result"]
    lines = [
        f"\n{task.title}\n",
        f"| variant | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
    ]
    floor = {
        label: statistics.median(one.wall for one in runs)
        for label, runs in results.items()
        if label.startswith(FLOOR)
    }
    for label, runs in results.items():
        suffix = label.partition(" scenes")[0].rpartition(", ")[2] if " scenes" in label else ""
        base = next(
            (s for name, s in floor.items() if name.endswith(f"{suffix} scenes") or not suffix),
            None,
        )
        wall = [one.wall for one in runs]
        cells = [
            f"{statistics.median(wall):.2f} ({min(wall):.2f}, {max(wall):.2f})",
            f"{statistics.median(one.cpu for one in runs):.2f}",
            f"{statistics.median(one.process for one in runs):.2f}",
            f"{statistics.median(one.peak for one in runs):.0f}",
            f"{statistics.median(wall) / base:.2f}" if base else "",
            *(_cell([one.found.get(key) for one in runs]) for key in extra),
            verdicts.get(label, ""),
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += [f"| {label} | failed: {message} |" for label, message in failed.items()]
    return "\n".join(lines)


def _cell(values: list[Any]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{statistics.median(numbers):.6g}" if numbers else ""


if __name__ == "__main__":
    main()
