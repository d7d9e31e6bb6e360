"""``python -m skdim``, and the script ``skdim``: see `skdim.command_line`."""

import signal
import sys

INTERRUPTED = 130


def main() -> int:
    """Run one command of this process; Ctrl-C is one line from the first import on."""
    sys.unraisablehook = end_if_interrupted
    try:
        from skdim.command_line import main as run

        return run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def end_if_interrupted(unraisable) -> None:
    """End the process if Ctrl-C came where Python can only drop it, as in the midst of imports."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr, flush=True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    raise SystemExit(main())
