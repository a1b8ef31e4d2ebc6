"""How far a long computation is: what a progress bar shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Tiles done of all, and the work of this run."""

    done: int
    total: int
    bytes_done: int = 0
    """Bytes of pixels computed in this run, as they are stored without compression."""
    seconds: float = 0.0
    """Since this run began to compute."""
    kept: int = 0
    """Tiles among ``done`` that an earlier, interrupted run had computed."""

    @property
    def rate(self) -> float:
        """Megabytes of pixels a second."""
        return self.bytes_done / 1e6 / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end at this run's rate; None before its first tile."""
        computed = self.done - self.kept
        return self.seconds / computed * (self.total - self.done) if computed else None


Report = Callable[[Progress], None]
