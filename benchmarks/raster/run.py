"""One variant, in this process: ``python -m benchmarks.raster.run FUNCTION JSON``.

Prints a line of JSON. The imports of the variant's libraries happen before the clock starts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time


def main(function: str, text: str) -> None:
    from benchmarks.raster.job import Job
    from benchmarks.raster.measure import high_water
    from benchmarks.raster.tasks import work

    do, job = work(function), Job.from_params(json.loads(text))
    before, began = seconds(), time.perf_counter()
    found = do(job)
    wall, cpu = time.perf_counter() - began, seconds() - before
    started = _started()
    body = {
        "wall": wall,
        "cpu": cpu,
        "process": time.clock_gettime(time.CLOCK_BOOTTIME) - started,
        "peak": high_water(),
        "found": found,
    }
    print(json.dumps(body))


def seconds() -> float:
    """CPU seconds of this process and its children, so far."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total


def _started() -> float:
    """When this process started, in seconds since the machine did."""
    with open("/proc/self/stat") as opened:
        fields = opened.read().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(*sys.argv[1:3])
