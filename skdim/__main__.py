"""``python -m skdim``, and the script ``skdim``: see `skdim.command_line`."""

import signal
import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command of this process; Ctrl-C prints one line, even during imports."""
    sys.unraisablehook = end_if_interrupted
    try:
        from skdim.command_line import main as run

        return run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def end_if_interrupted(unraisable) -> None:
    """End the process if Python could only drop a Ctrl-C, as in the middle of an import."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr, flush=True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    raise SystemExit(main())
