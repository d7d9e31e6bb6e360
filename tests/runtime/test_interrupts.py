"""Ctrl-C is noted, and raised where it may be."""

import os
import signal
import threading

import pytest

from skdim._runtime.distributed import ProcessGroup
from skdim._runtime.interrupts import SAME_PRESS, InterruptGuard


def test_a_second_interrupt_is_raised_at_once():
    def interrupted_twice():
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # the same press, passed on by a launcher
            assert guard.is_pending
            guard.noted_at -= SAME_PRESS
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("a second Ctrl-C was not raised")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_does_not_part_several_processes():
    done = []

    def interrupted_twice():
        with InterruptGuard() as guard:
            guard.join(ProcessGroup(0, 2))
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                guard.noted_at -= SAME_PRESS
            done.append("a step")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert done == ["a step"]


def test_an_interrupt_is_raised_at_the_end_of_the_block_at_the_latest():
    done = []

    def interrupted():
        with InterruptGuard():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("bookkeeping")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["bookkeeping"]


def test_handlers_of_others_and_other_threads_are_left_alone():
    seen = []
    previous = signal.signal(signal.SIGINT, lambda *_: seen.append("own handler"))
    try:
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            assert not guard.is_pending
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == ["own handler"]

    def inside():
        with InterruptGuard():
            seen.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == ["own handler", True]
