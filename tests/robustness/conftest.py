"""Stress tests take minutes to hours: they are run by hand, from the root of a clone.

    python -m tests.robustness.stress_files        # files: round trips, sizes, hostile files
    python -m tests.robustness.stress_interrupts   # Ctrl-C at any moment
    python -m tests.robustness.stress_reliability  # fits and saves that are killed; full disks
    python -m tests.robustness.stress_scale        # more data than memory; several processes; dask
    python -m tests.robustness.stress_soak         # hundreds of fits in one process; no network

Each opens with its claim, takes ``--help``, and exits with 1 if its claim does not hold. pytest
collects none of them.
"""

collect_ignore_glob = ["stress_*.py"]
