"""What a copy would do, by what both sides tell; nothing is transferred or written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rsdat.catalog import servers
from rsdat.storage.transfer import Copied, alike
from rsdat.storage.transfer_errors import Trouble, explained
from rsdat.storage.transfer_many import Failed, Planned, Report
from rsdat.storage.transfer_places import facts_of, place_of, refuse_offline, same

_THREADS = 16


def look(planned: Sequence[Planned]) -> Report:
    """A report of copies as if they had been made.

    A file is taken for different where that could only be told by reading it.
    """
    threads = servers.threads(
        (href for one in planned for href in (one.source, one.target)), _THREADS
    )
    with ThreadPoolExecutor(threads, "rsdat-look") as pool:
        found = list(pool.map(_look, planned))
    return Report(
        tuple(one for one in found if isinstance(one, Copied) and not one.skipped),
        tuple(one for one in found if isinstance(one, Copied) and one.skipped),
        tuple(one for one in found if isinstance(one, Failed)),
        0.0,
    )


def _look(one: Planned) -> Copied | Failed:
    try:
        source = place_of(one.source)
        facts = facts_of(source)
        refuse_offline(source, facts)
    except Exception as error:
        reason = explained(Trouble("source", error), one.source, one.target)
        return Failed(one.source, one.target, reason)
    size = facts.size if facts.size is not None else one.nbytes or 0
    try:
        target = place_of(one.target)
        equal = same(source, target) or alike(facts, facts_of(target)) is not None
    except FileNotFoundError:
        equal = False
    except Exception as error:
        return Failed(one.source, one.target, explained(error, one.source, one.target))
    return Copied(one.source, one.target, size, None, equal, 0, 0.0)
