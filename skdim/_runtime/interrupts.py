"""Ctrl-C at a moment of our choosing: between two steps, never in the middle of bookkeeping."""

import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup

# Signals within this many seconds are one press of Ctrl-C: a terminal sends a signal to all its
# processes, and torchrun sends another to the processes that it started.
SAME_PRESS = 0.3


class InterruptGuard:
    """Inside its ``with`` block, Ctrl-C is noted, and raised when `check` is called.

    A second Ctrl-C, at least `SAME_PRESS` later, is raised at once. If the program has its own
    handler, or outside the main thread, nothing is changed.

    Several processes raise Ctrl-C together, whichever of them received it. None raises it at once,
    because a process that ended in the middle of a step would keep the others waiting. For the same
    reason, the program's own handler is called by `check`, and what it raises is Ctrl-C.

    Attributes
    ----------
    is_pending : bool
        Whether Ctrl-C was noted and not yet raised.
    processes : ProcessGroup
        Processes of the fit, set by `join`; `check` and `settle` then send messages.
    is_agreed : bool
        Whether all processes raise the Ctrl-C that was raised, so that they can go on together.
    """

    def __init__(self) -> None:
        self.is_pending = False
        self.noted_at = -math.inf
        self.previous: Any = None
        self.processes: ProcessGroup = SINGLE_PROCESS
        self.is_agreed = True
        self.handler: Callable[[int, FrameType | None], Any] | None = None  # the program's own
        self.unhandled: list[tuple[int, FrameType | None]] = []  # signals for it
        self.answer: Callable[[], bool] | None = None  # to the last message, not yet read

    def __enter__(self) -> "InterruptGuard":
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._take_signals()
        return self

    def join(self, processes: ProcessGroup) -> None:
        """Name the processes of the fit."""
        self.processes = processes
        self.is_agreed = processes.is_single
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and self.previous is None and not processes.is_single:
            self.handler = handler
            self._take_signals()

    def _take_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGINT, self.note)

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
        self._call_handler()
        if kind is None:
            self._raise_if(self.is_pending)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note the first Ctrl-C, raise the second."""
        if self.handler is not None:
            self.unhandled.append((number, frame))
            return
        now = time.monotonic()
        if now - self.noted_at < SAME_PRESS:
            return
        if self.is_pending and self.processes.is_single:
            raise KeyboardInterrupt
        self.is_pending, self.noted_at = True, now

    def check(self) -> None:
        """Raise a noted Ctrl-C; several processes raise one that any had noted one call before.

        Every process calls this equally often. None waits for another, because each message has had
        the time of a step to arrive.
        """
        if self.processes.is_single:
            self._raise_if(self.is_pending)
            return
        self.is_agreed = self._take_answer()
        self._raise_if(self.is_agreed)
        self._call_handler()
        self.answer = self.processes.ask(self.is_pending)

    def settle(self) -> None:
        """Note Ctrl-C in every process if any of them received it; leave no message on its way."""
        if not self.processes.is_single:
            self._call_handler()
            self.answer = self.processes.ask(self._take_answer() or self.is_pending)
            self.is_pending = self._take_answer()

    def _take_answer(self) -> bool:
        """Return the answer to the last message, and forget it."""
        answer, self.answer = self.answer, None
        is_pressed = answer is not None and answer()
        if is_pressed:
            self.noted_at = time.monotonic()  # this process's own signal is the same press
        return is_pressed

    def _call_handler(self) -> None:
        """Pass signals on to the program's own handler, and note if it raises Ctrl-C."""
        while self.unhandled and self.handler is not None:
            try:
                self.handler(*self.unhandled.pop(0))
            except KeyboardInterrupt:
                self.is_pending = True

    def _raise_if(self, is_due: bool) -> None:
        if is_due:
            self.is_pending = False
            raise KeyboardInterrupt
