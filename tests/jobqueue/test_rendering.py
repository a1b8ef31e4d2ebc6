"""The job scripts, pinned: a change of what is submitted is seen in a diff.

RSDAT_UPDATE_GOLDEN=1 writes the files anew.
"""

import os
import subprocess
from pathlib import Path

import pytest

from rsdat.errors import ConfigError
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobRequest, Resources

HERE = Path(__file__).parent
CASES = [(queue, name) for queue in ("slurm", "local") for name in ("minimal", "head", "worker")]


@pytest.mark.parametrize(("queue", "name"), CASES)
def test_the_script_is_the_golden_one(
    queue: str, name: str, job_requests: dict[str, JobRequest]
) -> None:
    script = queue_named(queue).script(job_requests[name])
    golden = HERE / "golden" / f"{queue}-{name}.sh"
    if os.environ.get("RSDAT_UPDATE_GOLDEN"):
        golden.write_text(script)
    assert script == golden.read_text()


@pytest.mark.parametrize(("queue", "name"), CASES)
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_script_is_valid_shell(
    queue: str, name: str, shell: str, job_requests: dict[str, JobRequest]
) -> None:
    script = queue_named(queue).script(job_requests[name])
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("key", ["partition", "account", "qos", "gres", "constraint"])
def test_no_value_breaks_out_of_its_directive(key: str) -> None:
    wanted = Resources(**{key: "x\n#SBATCH --account=other\nrm -rf ~"})
    with pytest.raises(ConfigError, match=key):
        queue_named("slurm").script(JobRequest("name", wanted, ("true",), "log"))


@pytest.mark.parametrize("queue", ["slurm", "local"])
def test_a_name_stays_on_its_line(queue: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        queue_named(queue).script(JobRequest("a\nb", Resources(), ("true",), "log"))


def test_memory_is_rounded_up_to_a_mebibyte() -> None:
    wanted = Resources(memory=2**20 + 1)
    script = queue_named("slurm").script(JobRequest("name", wanted, ("true",), "log"))
    assert "#SBATCH --mem=2M\n" in script


def test_a_percent_sign_in_the_log_is_not_a_pattern_of_slurm() -> None:
    script = queue_named("slurm").script(JobRequest("name", Resources(), ("true",), "50%j.log"))
    assert "#SBATCH --output=50%%j.log\n" in script


def test_a_queue_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="'pbs'"):
        queue_named("pbs")
