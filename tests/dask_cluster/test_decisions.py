"""What is done with worker jobs, in plain tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsdat.cluster.adaptive import whole_jobs
from rsdat.cluster.decisions import LOST_AFTER, MOST_FAILURES, JobView, Trouble, decide, pause_left
from rsdat.jobqueue.base import JobState

PENDING, RUNNING, ENDING = JobState.PENDING, JobState.RUNNING, JobState.ENDING
OVER = [state for state in JobState if state.over]


def job(name: str, state: JobState = RUNNING, connected: int = 1, **more: object) -> JobView:
    pool = str(more.pop("pool", "default"))
    return JobView(name=name, pool=pool, state=state, connected=connected, **more)  # type: ignore[arg-type]


def waiting(name: str, **more: object) -> JobView:
    return job(name, PENDING, 0, **more)


def test_what_is_wanted_and_lives_is_left_alone() -> None:
    decision = decide({"default": 2}, [job("w1"), waiting("w2")])
    assert not decision.submit
    assert decision.cancel == decision.retire == ()


def test_missing_jobs_are_submitted() -> None:
    assert decide({"default": 3}, [job("w1")]).submit == {"default": 2}


@pytest.mark.parametrize("state", OVER)
def test_a_job_that_is_over_is_replaced(state: JobState) -> None:
    decision = decide({"default": 1}, [job("w1", state, 0)])
    assert decision.submit == {"default": 1}
    assert decision.cancel == ()


def test_a_job_is_over_when_the_queue_says_so_though_its_node_fell_silent_with_workers() -> None:
    assert decide({"default": 1}, [job("w1", JobState.FAILED, 1)]).submit == {"default": 1}


def test_unknown_is_not_gone() -> None:
    assert not decide({"default": 1}, [job("w1", JobState.UNKNOWN, 0)]).submit


def test_a_job_that_ends_is_replaced_before_it_has_ended() -> None:
    assert decide({"default": 1}, [job("w1", ENDING, 0)]).submit == {"default": 1}


def test_workers_that_are_back_soon_are_waited_for() -> None:
    decision = decide({"default": 1}, [job("w1", RUNNING, 0, lost_for=LOST_AFTER / 2)])
    assert not decision.submit
    assert decision.cancel == ()


def test_a_running_job_that_lost_its_workers_is_cancelled_and_replaced() -> None:
    decision = decide({"default": 1}, [job("w1", RUNNING, 0, lost_for=LOST_AFTER + 1)])
    assert decision.cancel == ("w1",)
    assert decision.submit == {"default": 1}


def test_scaling_down_cancels_waiting_jobs_before_it_touches_working_ones() -> None:
    jobs = [job("w1"), waiting("w2"), job("w3", RUNNING, 0), waiting("w4")]
    assert decide({"default": 3}, jobs).cancel == ("w4",)
    assert decide({"default": 2}, jobs).cancel == ("w4", "w2")
    assert decide({"default": 1}, jobs).cancel == ("w4", "w2", "w3")
    assert decide({"default": 1}, jobs).retire == ()
    assert decide({"default": 0}, jobs).retire == ("w1",)


def test_the_lightest_job_is_retired_first() -> None:
    jobs = [job("w1", load=2), job("w2", load=0), job("w3", load=7)]
    assert decide({"default": 2}, jobs).retire == ("w2",)
    assert decide({"default": 1}, jobs).retire == ("w2", "w1")


def test_a_retiring_job_counts_no_more_and_is_not_retired_twice() -> None:
    jobs = [job("w1", retiring=True), job("w2")]
    decision = decide({"default": 1}, jobs)
    assert not decision.submit
    assert decision.retire == ()
    assert decide({"default": 2}, jobs).submit == {"default": 1}


def test_pools_are_kept_apart() -> None:
    jobs = [job("w1"), job("w2", pool="big")]
    decision = decide({"default": 2, "big": 0}, jobs)
    assert decision.submit == {"default": 1}
    assert decision.retire == ("w2",)


def test_nothing_is_submitted_for_a_pool_that_is_held() -> None:
    assert not decide({"default": 2}, [], held={"default"}).submit


jobs_strategy = st.lists(
    st.builds(
        JobView,
        name=st.uuids().map(str),
        pool=st.sampled_from(["default", "big"]),
        state=st.sampled_from(list(JobState)),
        connected=st.integers(0, 2),
        lost_for=st.none() | st.floats(0, 200),
        retiring=st.booleans(),
        load=st.floats(0, 10),
    ),
    max_size=12,
)


@given(jobs_strategy, st.integers(0, 6), st.integers(0, 6))
def test_after_a_decision_exactly_what_is_wanted_lives(
    jobs: list[JobView], default: int, big: int
) -> None:
    wanted = {"default": default, "big": big}
    decision = decide(wanted, jobs)
    left = set(decision.cancel) | set(decision.retire)
    for pool, number in wanted.items():
        alive = [
            j
            for j in jobs
            if j.pool == pool
            and j.name not in left
            and not j.retiring
            and not j.state.over
            and (j.connected or j.state is not ENDING)
        ]
        assert len(alive) + decision.submit.get(pool, 0) == number
        # Never both: to submit and to end jobs of one pool on the same look.
        if pool in decision.submit:
            assert not any(j.pool == pool and j.name in decision.retire for j in jobs)


@pytest.mark.parametrize(
    ("failures", "after", "left"),
    [(0, 0, 0), (1, 0, 2), (1, 2, 0), (3, 1, 7), (MOST_FAILURES, 9999, math.inf)],
)
def test_a_pool_that_fails_pauses_longer_and_longer(
    failures: int, after: float, left: float
) -> None:
    assert pause_left(Trouble(failures, since=100), now=100 + after) == left


def test_a_refused_pool_waits_for_a_new_scale() -> None:
    assert pause_left(Trouble(1, since=0, refused=True), now=1e9) == math.inf


@pytest.mark.parametrize(
    ("workers", "size", "maximum", "whole"),
    [
        (1, 2, math.inf, 2),
        (2, 2, 4, 2),
        (3, 2, 4, 4),
        (3, 2, 3, 2),
        (1, 4, 2, 4),
        (0, 2, 4, 0),
        (1, 1, 1, 1),
        (0, 2, 0, 0),
    ],
)
def test_adaptive_scaling_counts_whole_jobs(
    workers: int, size: int, maximum: float, whole: int
) -> None:
    assert whole_jobs(workers, size, maximum) == whole
