"""Time from the command to a ready session on the virtual cluster, split into its stages.

    make cluster && .venv/bin/rsdat env install virtual --offline
    .venv/bin/python benchmarks/launch.py [RUNS]

"queue" is SLURM's own part, from the submission to the job's first process. Beside it, in the same
run, what JupyterLab alone takes on a compute node until its API answers. The rest is what a launch
costs on top of these two.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VC = ROOT / "deploy" / "virtual-cluster" / "vc"
RSDAT = Path(sys.executable).with_name("rsdat")
PYTHON = "/home/researcher/.rsdat/environments/default/bin/python"

# Runs on a compute node: JupyterLab alone, until its API answers on a unix socket.
LAB_ALONE = """
import http.client, os, socket, subprocess, sys, tempfile, time
private = tempfile.mkdtemp(dir="/tmp")
began = time.time()
lab = subprocess.Popen(
    [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.sock={private}/s",
     "--LabApp.news_url=None", "--LabApp.extension_manager=readonly"],
    env={**os.environ, "JUPYTER_RUNTIME_DIR": private},
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while True:
    try:
        s = socket.socket(socket.AF_UNIX); s.connect(f"{private}/s")
        c = http.client.HTTPConnection("x"); c.sock = s
        c.request("GET", "/api"); c.getresponse().read()
        break
    except OSError:
        time.sleep(0.01)
print(time.time() - began)
lab.terminate(); lab.wait()
"""


def run(*argv: str | Path, check: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{' '.join(done.args)}\n{done.stdout}{done.stderr}")
    return done.stdout


def on(host: str, *argv: str) -> str:
    return run(VC, "run", host, "--user", "researcher", "--", *argv)


def lab_alone() -> float:
    return float(on("c1", PYTHON, "-c", LAB_ALONE))


def launch() -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a launch, and of a connect to the running session from a new process."""
    began = time.monotonic()
    body = json.loads(run(RSDAT, "launch", "virtual", "--no-browser", "--json", "--name", "bench"))
    wall = time.monotonic() - began
    began = time.monotonic()
    run(RSDAT, "connect", body["session"], "--json", "--no-browser")
    again = time.monotonic() - began
    forget_tunnel(body["session"])
    began = time.monotonic()
    run(RSDAT, "connect", body["session"], "--json", "--no-browser")
    anew = time.monotonic() - began
    run(RSDAT, "stop", body["session"])
    seconds = body["seconds"]
    seconds["python"] = wall - seconds["total"]
    seconds["wall"] = wall
    return seconds, {"tunnel stands": again, "tunnel anew": anew}


def forget_tunnel(session: str) -> None:
    from rsdat.session.tunnel import stop_tunnel

    stop_tunnel(session)


def main(runs: int = 5) -> None:
    rows: dict[str, list[float]] = {}
    run(RSDAT, "ls", "virtual")  # the control connection stands, as after any earlier command
    for _ in range(runs):
        seconds, connects = launch()
        for key in ("python", "ssh", "submit", "queue", "lab", "dask", "notice", "tunnel", "wall"):
            rows.setdefault(f"launch: {key}", []).append(seconds[key])
        for key, value in connects.items():
            rows.setdefault(f"connect: {key}", []).append(value)
        rows.setdefault("JupyterLab alone: start to API", []).append(lab_alone())
    rows["launch on top of queue and JupyterLab alone"] = [
        wall - queue - lab
        for wall, queue, lab in zip(
            rows["launch: wall"],
            rows["launch: queue"],
            rows["JupyterLab alone: start to API"],
            strict=True,
        )
    ]
    print(f"| stage (s, {runs} runs) | min | median | max |\n|---|---|---|---|")
    for name, values in rows.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"| {name} | {low:.2f} | {middle:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
