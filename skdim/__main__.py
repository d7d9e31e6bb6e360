"""``python -m skdim``: see `skdim.command_line`."""

from skdim.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
