"""Ctrl-C at a moment of our choosing: between two steps, never in the middle of bookkeeping."""

import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup

# Seconds within which a signal is the same press of Ctrl-C: a terminal sends it to all its
# processes, and torchrun sends its own to those that it started.
SAME_PRESS = 0.3


class InterruptGuard:
    """Inside its ``with`` block, Ctrl-C is noted and raised where `check` is called.

    A second Ctrl-C, at least `SAME_PRESS` later, is raised at once. Where the program has a
    handler of its own, or in another than the main thread, nothing is changed.

    Several processes raise Ctrl-C together, whichever of them it came to, and never at once: a
    process that left the others in the middle of a step would keep them waiting.

    Attributes
    ----------
    is_pending : bool
        Whether Ctrl-C was noted and not yet raised.
    processes : ProcessGroup
        Of the fit. Set it when it is known; `check` and `settle` then send messages.
    """

    def __init__(self) -> None:
        self.is_pending = False
        self.noted_at = -math.inf
        self.previous: Any = None
        self.processes: ProcessGroup = SINGLE_PROCESS
        self.answer: Callable[[], bool] | None = None  # to the last message, not yet heard

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
            if not self.processes.is_single:  # signals of the same press may be on their way
                time.sleep(max(0.0, self.noted_at + SAME_PRESS - time.monotonic()))
            signal.signal(signal.SIGINT, self.previous)
        if kind is None:
            self._raise_if(self.is_pending)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a first Ctrl-C, raise a second."""
        now = time.monotonic()
        if now - self.noted_at < SAME_PRESS:
            return
        if self.is_pending and self.processes.is_single:
            raise KeyboardInterrupt
        self.is_pending, self.noted_at = True, now

    def check(self) -> None:
        """Raise what was noted, or what any of several processes had noted one call before.

        Every process calls this equally often. None waits for another: there was a step's time for
        the message.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C came.
        """
        if self.processes.is_single:
            self._raise_if(self.is_pending)
            return
        self._raise_if(self._hear())
        self.answer = self.processes.ask(self.is_pending)

    def settle(self) -> None:
        """Note in every process what came to any of them; no message is on its way afterwards."""
        if not self.processes.is_single:
            self.answer = self.processes.ask(self._hear() or self.is_pending)
            self.is_pending = self._hear()

    def _hear(self) -> bool:
        """Return the answer to the last message, once."""
        answer, self.answer = self.answer, None
        is_pressed = answer is not None and answer()
        if is_pressed:
            self.noted_at = time.monotonic()  # this process's own signal is the same press
        return is_pressed

    def _raise_if(self, is_due: bool) -> None:
        if is_due:
            self.is_pending = False
            raise KeyboardInterrupt
