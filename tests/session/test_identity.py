"""Session ids, job names and ports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsdat.errors import SessionError
from rsdat.session.identity import (
    job_name,
    new_id,
    preferred_port,
    session_of_job,
    session_of_worker,
)


def test_ids_keep_the_name_and_hardly_ever_repeat() -> None:
    ids = {new_id("geo") for _ in range(200)}
    # Of 26⁵ ids two are equal in one run of 600; four pairs in one of 10¹².
    assert len(ids) > 196
    assert all(one.startswith("geo-") for one in ids)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a\n", "x" * 41, "$(id)"])
def test_names_that_would_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(SessionError):
        new_id(name)


def test_a_jobs_name_leads_back_to_its_session() -> None:
    session = new_id("lab")
    assert session_of_job(job_name(session)) == session
    assert session_of_job(f"{job_name(session)}-w2345") is None
    assert session_of_job("someone-elses") is None
    assert session_of_worker(f"{job_name(session)}-w2345") == session
    assert session_of_worker(job_name(session)) is None


@given(st.text(min_size=1))
def test_the_port_is_the_same_on_every_laptop_and_below_the_ephemeral_range(text: str) -> None:
    port = preferred_port(text)
    assert port == preferred_port(text)
    assert 20000 <= port < 32000
