"""Where the time of a variant goes: ``python -m benchmarks.raster.stages TASK FUNCTION [SCENES]``.

Looks at every thread each 2 ms and counts the innermost line of the package, its benchmarks or
rasterio; shares of the time that threads were at work there (waiting is counted apart).
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks.raster.__main__ import prepare
from benchmarks.raster.job import Job
from benchmarks.raster.run import seconds
from benchmarks.raster.tasks import CACHE, TASKS, work

_OURS = ("/rsdat/", "/benchmarks/raster/variants/")
_WAITING = ("wait", "acquire", "get", "select", "_worker", "_recv", "accept", "poll", "get_request")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("function", help="for instance chain.ndvi")
    parser.add_argument("--scale", choices=("small", "full"), default="full")
    parser.add_argument("--scenes", type=Path, default=Path("~/.cache/rsdat-bench").expanduser())
    parser.add_argument("--latency", type=float, default=0.05)
    options = parser.parse_args()
    with ExitStack() as stack:
        params = prepare(TASKS[options.task], options, stack)
        do = work(options.function)
        given = CACHE if options.function.startswith("floor") else {}
        output = options.scenes / "out" / "stages.tif"
        output.parent.mkdir(exist_ok=True)
        count = TASKS[options.task].count
        job = Job.from_params({**params, "count": count, "options": given, "output": str(output)})
        looked = _Sampler()
        before = seconds()
        with looked:
            do(job)
        print(f"CPU {seconds() - before:.2f} s, {looked.looks} looks")
    total = sum(looked.busy.values())
    for (file, name, line), number in looked.busy.most_common(40):
        print(f"{100 * number / total:5.1f} %  {file}:{line} {name}")
    print(f"waiting: {looked.waiting / max(1, looked.looks):.1f} threads on average")


class _Sampler:
    """Counts lines while it is entered."""

    def __init__(self) -> None:
        self.busy: Counter[tuple[str, str, int]] = Counter()
        self.waiting = self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        own = threading.get_ident()
        while not self._over.wait(0.002):
            self.looks += 1
            for thread, frame in sys._current_frames().items():
                if thread != own:
                    self._count(frame)

    def _count(self, frame: object) -> None:
        inner = frame
        if inner.f_code.co_name in _WAITING:
            self.waiting += 1
            return
        while frame is not None and not any(o in frame.f_code.co_filename for o in _OURS):
            frame = frame.f_back
        if frame is None:
            return
        code = frame.f_code
        place = "/".join(code.co_filename.rsplit("/", 3)[1:])
        self.busy[place, code.co_name, frame.f_lineno] += 1


if __name__ == "__main__":
    main()
