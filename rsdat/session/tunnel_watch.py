"""What a tunnel's process does all day: see whether JupyterLab answers, and mend what is broken."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from enum import Enum

from rsdat.errors import HostError
from rsdat.host.base import Forward, Host
from rsdat.host.diagnose import LoginRefused
from rsdat.session.tunnel_model import Standing, TunnelSpec

#: Seconds between looks while all is well.
CHECK_EVERY = 3.0
#: Seconds JupyterLab may take for an answer; a server at work on a large notebook is slow.
ANSWER_TIMEOUT = 10.0
#: Seconds between questions to the host whether the session is over.
ASK_EVERY = 60.0
LONGEST_PAUSE = 30.0

_OVER = """d=$1; case $d in '~/'*) d=$HOME/${d#'~/'};; esac
if [ ! -d "$d" ] || [ -e "$d/end.json" ]; then echo over; else echo on; fi"""


class Answer(Enum):
    """What came of one question to JupyterLab through the tunnel."""

    YES = "it answers"
    SILENT = "JupyterLab does not answer"
    """The port is ours, but nothing comes back."""
    CLOSED = "the port is closed"
    """Nobody listens on this machine: the forward is gone."""


#: Say how the tunnel stands, why, and which process holds the forward.
Publish = Callable[[Standing, str | None, int | None], None]


def ask(port: int, base_url: str, timeout: float) -> Answer:
    """Ask JupyterLab for its version, which needs no token; any answer of HTTP counts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", f"{base_url}api")
        connection.getresponse().read()
    except ConnectionRefusedError:
        return Answer.CLOSED
    except (OSError, http.client.HTTPException):
        return Answer.SILENT
    finally:
        connection.close()
    return Answer.YES


def pauses() -> Iterator[float]:
    """Seconds to wait before each attempt: 1, 2, 4 … and then the longest for ever."""
    pause = 1.0
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * 2)


class Watch:
    """Keeps one forward standing until its session is over.

    Parameters
    ----------
    spec
        What the forward is for.
    host
        The login host.
    publish
        Told whenever something changes.
    note
        Takes lines for the log.
    """

    def __init__(
        self, spec: TunnelSpec, host: Host, publish: Publish, note: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._host = host
        self._publish = publish
        self._note = note
        self._forward: Forward | None = None
        self._pauses = pauses()
        self._standing = Standing.CONNECTING
        self._asked = time.monotonic()

    def run(self) -> None:
        """Open the forward and keep it; return when the session is over.

        Raises
        ------
        HostError
            When the first attempt fails: there is nothing to keep yet.
        """
        self._say(Standing.CONNECTING)
        try:
            self._open()
            while not self._finished():
                self._look()
        finally:
            self._close()
        self._note("the session is over")

    def _look(self) -> None:
        """Wait a little, look, and mend one thing."""
        forward = self._forward
        if forward is None:
            self._wait(next(self._pauses))
            self._reopen()
            return
        self._wait(CHECK_EVERY)
        answer = ask(self._spec.local_port, self._spec.base_url, ANSWER_TIMEOUT)
        if answer is Answer.YES:
            self._pauses = pauses()
            self._stands(forward)
        elif answer is Answer.CLOSED or not forward.alive():
            self._say(Standing.BROKEN, "the connection broke")
            self._close()
            self._reopen()
        elif self._host.answers():
            # The way is good; JupyterLab is busy, or gone. Open connections of the browser may
            # come to life again, so the forward stays.
            self._say(Standing.BROKEN, answer.value, forward.pid)
            self._wait(next(self._pauses))
        else:
            self._say(Standing.BROKEN, f"{self._host.name} is silent", forward.pid)
            self._replace()

    def _open(self) -> None:
        self._host.connect(interactive=False)
        self._forward = self._host.forward(self._spec.local_port, self._spec.target)
        self._stands(self._forward)

    def _reopen(self) -> None:
        try:
            self._open()
        except LoginRefused as error:
            self._say(Standing.NEEDS_LOGIN, error.message)
            self._await_login()
        except HostError as error:
            self._say(Standing.BROKEN, error.message)

    def _replace(self) -> None:
        """Put a new connection in the place of a silent one, if a login works without a person.

        If not, the old one stays until ssh itself gives it up: a network that was only away for a
        moment costs nobody a second factor.
        """
        try:
            self._host.connect(interactive=False)
        except HostError as error:
            self._note(f"no new connection: {error.message}")
            self._wait(next(self._pauses))
            return
        self._close()
        self._reopen()

    def _await_login(self) -> None:
        # Never a login of our own here: repeated refusals get an address blocked.
        while not self._past_its_end() and not self._host.answers():
            self._wait(CHECK_EVERY)
        self._pauses = pauses()

    def _say(self, standing: Standing, error: str | None = None, pid: int | None = None) -> None:
        self._standing = standing
        self._publish(standing, error, pid)

    def _stands(self, forward: Forward) -> None:
        self._say(Standing.OPEN, None, forward.pid)
        self._asked = time.monotonic()

    def _finished(self) -> bool:
        """Whether the session is known to be over; asks the host at most once a minute."""
        if self._standing is Standing.OPEN:
            return False
        return self._past_its_end() or self._host_says_over()

    def _past_its_end(self) -> bool:
        ends = self._spec.ends
        return ends is not None and time.time() > ends + 60

    def _host_says_over(self) -> bool:
        if time.monotonic() - self._asked < ASK_EVERY or not self._host.answers():
            return False
        self._asked = time.monotonic()
        argv = ["sh", "-c", _OVER, "sh", self._spec.directory]
        try:
            return self._host.run(argv, timeout=20).stdout.strip() == "over"
        except HostError:
            return False

    def _close(self) -> None:
        if self._forward is not None:
            self._forward.close()
            self._forward = None

    def _wait(self, seconds: float) -> None:
        # A laptop that has slept comes back to a new world: no reason to be slow then.
        before = time.time()
        time.sleep(seconds)
        if time.time() - before > seconds + 10:
            self._pauses = pauses()
