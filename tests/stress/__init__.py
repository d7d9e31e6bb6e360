"""Stress tests: they take minutes to hours and are run by hand, from the root of a clone.

    python -m tests.stress.stress_files          # files: round trips, sizes, hostile files
    python -m tests.stress.stress_reliability    # fits and saves that are killed; full disks
    python -m tests.stress.stress_scale          # more data than memory; several processes; dask
    python -m tests.stress.stress_soak           # hundreds of fits in one process; no network

Each opens with its claim, takes ``--help``, and exits with 1 if its claim does not hold.
"""
