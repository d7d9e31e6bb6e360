"""Ctrl-C at a moment of our choosing: between two steps, never in the middle of bookkeeping."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

# Seconds within which a signal is the same press of Ctrl-C: a terminal sends it to all its
# processes, and torchrun sends its own to those that it started.
SAME_PRESS = 0.3


class InterruptGuard:
    """Inside its ``with`` block, Ctrl-C is noted and raised where `check` is called.

    A second Ctrl-C, at least `SAME_PRESS` later, is raised at once. Where the program has a
    handler of its own, or in another than the main thread, nothing is changed.

    Attributes
    ----------
    is_pending : bool
        Whether Ctrl-C was noted and not yet raised.
    """

    def __init__(self) -> None:
        self.is_pending = False
        self.noted_at = 0.0
        self.previous: Any = None

    def __enter__(self) -> "InterruptGuard":
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.previous = signal.signal(signal.SIGINT, self.note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
        if kind is None:
            self.check()

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a first Ctrl-C, raise a second."""
        now = time.monotonic()
        if self.is_pending and now - self.noted_at >= SAME_PRESS:
            raise KeyboardInterrupt
        if not self.is_pending:
            self.is_pending, self.noted_at = True, now

    def check(self) -> None:
        """Raise what was noted.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C came since the last call.
        """
        if self.is_pending:
            self.is_pending = False
            raise KeyboardInterrupt
