"""The judgements of the doctor, on answers as hosts give them."""

import os
from datetime import timedelta

import pytest

from rsdat.config.models import Connection, Container, Environment, Head, Job, Pool, Site
from rsdat.host import open_host
from rsdat.session import doctor
from rsdat.session.questions import Answer, Question, ask, parse, questions

SITE = Site(name="far", connection=Connection(host="far.example.org"), head=Head(partition="main"))
# As sinfo --format='%P|%a|%l' of Slurm 22.05 and 24.11 prints them.
PARTITIONS = Answer(
    0, "main*|up|1-00:00:00\nshort|up|1:00:00\ndown|down|infinite\nclosed|inact|infinite"
)
ACCEPTED = Answer(
    0, "sbatch: Job 2 to start at 1795201069 using 1 processors on nodes c1 in partition main"
)


def asked(asked: dict[str, Question]) -> dict[str, Answer]:
    word, argv = ask(asked)
    return parse(open_host(None).run(argv, check=False).stdout, word)


def test_each_question_gets_its_own_answer() -> None:
    answers = asked(
        {
            "words": Question(["printf", "<%s>", "a b", "*", "$HOME", ""]),
            "fails": Question(["sh", "-c", "echo no >&2; exit 3"]),
            "given": Question(["cat"], "first\nsecond: 'quoted' \\n %s"),
            "absent": Question(["/no/such/command"]),
            "home": Question(["printf", "%s", "~/x"]),
            "silent": Question(["true"]),
            "slow": Question(["sleep", "1000"], patience=1),
        }
    )
    assert answers["words"] == Answer(0, "<a b><*><$HOME><>")
    assert answers["fails"] == Answer(3, "no\n")
    assert answers["given"] == Answer(0, "first\nsecond: 'quoted' \\n %s")
    assert answers["absent"].status == 127
    assert answers["home"] == Answer(0, f"{os.environ['HOME']}/x")
    assert answers["silent"] == Answer(0, "")
    assert answers["slow"] == Answer(124, "")


def test_what_a_site_prints_in_between_does_no_harm() -> None:
    text = "noise\n\nw begin a\nw begin or not\n\nw end 0 a\nnoise\n\nw begin b\nno end"
    assert parse(text, "w") == {"a": Answer(0, "w begin or not\n")}


def test_a_site_without_a_queue_is_not_asked_about_one() -> None:
    local = Site(name="local", queue="local")
    assert set(questions(local, {"head": "x"})) == {"date", "disk", "environment"}


def test_every_job_of_a_site_is_tried() -> None:
    found = questions(SITE, {"head": "#!/bin/bash\n", "pool.default": "#!/bin/bash\n"})
    assert found["head"].input == "#!/bin/bash\n"
    assert "--test-only" in found["pool.default"].argv


def test_a_quiet_login_shell_is_fine_and_a_talking_one_is_named() -> None:
    assert [one.ok for one in doctor.shell_noise({"shell": Answer(0, "\n")})] == [True]
    (finding,) = doctor.shell_noise({"shell": Answer(0, "Welcome!\nHave fun\n")})
    assert finding.ok is None
    assert "2 lines" in finding.message
    assert "'Welcome!'" in finding.message
    assert list(doctor.shell_noise({})) == []


@pytest.mark.parametrize(
    ("text", "ok", "words"),
    [
        (
            "sbatch /usr/bin/sbatch\nsqueue /usr/bin/squeue\nscancel /usr/bin/scancel\n"
            "sinfo /usr/bin/sinfo\nsacct /usr/bin/sacct\nversion slurm 24.11.5\n",
            True,
            "slurm 24.11.5",
        ),
        (
            "sbatch /b/sbatch\nsqueue /b/squeue\nscancel /b/scancel\nsacct missing\n"
            "version slurm 22.05.8\n",
            True,
            "no sacct",
        ),
        ("sbatch missing\nsqueue missing\nversion sh: sbatch: not found\n", False, "no sbatch"),
        ("sbatch /b/sbatch\nsqueue missing\nversion slurm 22.05.8\n", False, "without squeue"),
        ("", False, "no sbatch"),
    ],
)
def test_slurm_commands(text: str, ok: bool, words: str) -> None:
    finding = doctor.slurm_commands({"slurm": Answer(0, text)})
    assert finding.ok is ok
    assert words in finding.message


def accepted(job: Job, answer: Answer = ACCEPTED) -> doctor.Finding:
    return doctor.job_accepted(SITE, "head", job, {"head": answer, "partitions": PARTITIONS})


def test_an_accepted_job_is_fine() -> None:
    finding = accepted(Job(partition="main", walltime=timedelta(hours=24)))
    assert finding.ok is True
    assert "partition main" in finding.message
    assert "would start" in finding.message


def test_a_refused_job_says_slurms_words_and_the_way_out() -> None:
    said = "allocation failure: Invalid account or account/partition combination specified\n"
    finding = accepted(Job(partition="main"), Answer(1, said))
    assert finding.ok is False
    assert "Invalid account" in finding.message
    assert "--account" in finding.fix


def test_a_partition_that_is_down_is_found_although_sbatch_accepts() -> None:
    finding = accepted(Job(partition="down"))
    assert finding.ok is False
    assert "partition down is down" in finding.message


def test_a_walltime_over_the_limit_is_found_although_sbatch_accepts() -> None:
    finding = accepted(Job(partition="short", walltime=timedelta(hours=2)))
    assert finding.ok is False
    assert "would never start" in finding.message
    assert accepted(Job(partition="short", walltime=timedelta(hours=1))).ok is True


def test_the_default_partition_counts_where_none_is_named() -> None:
    assert accepted(Job(walltime=timedelta(days=2))).ok is False


def test_no_answer_is_no_verdict() -> None:
    assert doctor.job_accepted(SITE, "pool.big", Pool(), {}).ok is None


GOOD = (
    "python 3.12.4\nrsdat 0.1.0\ndask 2025.9.1\ndistributed 2025.9.1\njupyterlab 4.4.1\n"
    "dask_labextension 7.0.0\n"
)


def test_an_environment_that_imports_all_is_fine() -> None:
    finding = doctor.environment(SITE, {"environment": Answer(0, f"Lmod loaded\n{GOOD}")})
    assert finding.ok is True
    assert "python 3.12.4" in finding.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            GOOD.replace("jupyterlab 4.4.1", "jupyterlab missing ModuleNotFoundError No module"),
            "jupyterlab cannot be imported",
        ),
        ("sh: 12: exec: /home/me/.rsdat/environments/default/bin/python: not found", "not found"),
        ("", "no answer"),
    ],
)
def test_an_environment_that_lacks_something_names_it_and_the_command(
    text: str, words: str
) -> None:
    finding = doctor.environment(SITE, {"environment": Answer(127, text)})
    assert finding.ok is False
    assert words in finding.message
    assert "rsdat env install far" in finding.fix


def test_an_environment_that_is_only_slow_is_not_called_broken() -> None:
    finding = doctor.environment(SITE, {"environment": Answer(124, "python 3.12.4\nrsdat 0.1.0\n")})
    assert finding.ok is None
    assert "120 s" in finding.message
    assert "env install" not in finding.fix


def test_an_image_that_only_compute_nodes_can_run_is_no_fault() -> None:
    site = SITE.model_copy(
        update={"environment": Environment(container=Container(image="/images/rsdat.sif"))}
    )
    finding = doctor.environment(site, {"environment": Answer(127, "apptainer: not found")})
    assert finding.ok is None


@pytest.mark.parametrize(
    ("there", "ok"), [(1000, True), (1100, True), (950, True), (800, False), (1300, False)]
)
def test_clocks_that_are_apart_by_more_than_a_minute(there: int, ok: bool) -> None:
    finding = doctor.clock({"date": Answer(0, f"{there}\n")}, 1000.0, 1060.0)
    assert finding.ok is ok


def test_a_clock_that_says_nothing_is_no_verdict() -> None:
    assert doctor.clock({"date": Answer(1, "date: what?")}, 0, 0).ok is None


DF = "df /dev/sda1 100000000 20000000 {free} 20% /home"


@pytest.mark.parametrize(
    ("text", "ok", "words"),
    [
        (f"directory /home/me/.rsdat\nwritable\n{DF.format(free=83886080)}\n", True, "80 GiB"),
        (f"directory /home/me\nwritable\n{DF.format(free=102400)}\n", None, "100 MiB"),
        (
            "directory /home/me\nhead: error writing 'standard output': No space left on device\n"
            f"{DF.format(free=0)}\n",
            False,
            "No space left",
        ),
        (
            "directory /home/me\nmktemp: failed to create file via template "
            f"'/home/me/.rsdat-XXXXXX': Permission denied\n{DF.format(free=9)}\n",
            False,
            "Permission denied",
        ),
        (
            f"directory /home/me\nwritable\n{DF.format(free=83886080)}\nover quota\n",
            False,
            "quota",
        ),
    ],
)
def test_disks(text: str, ok: bool | None, words: str) -> None:
    finding = doctor.disk(SITE, {"disk": Answer(0, text)})
    assert finding.ok is ok
    assert words in finding.message
    assert finding.ok is True or "Make room" in finding.fix


def test_this_machine_is_found_fit_for_a_local_session(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("state") / "not made yet"
    site = Site(name="local", queue="local", directory=str(directory))
    findings = list(doctor.diagnose(site, open_host(None)))
    assert [one.check for one in findings] == ["ssh", "environment", "clock", "disk"]
    assert [one.ok for one in findings[:3]] == [True, True, True], findings
    assert findings[3].ok is not False
    assert not directory.exists()
