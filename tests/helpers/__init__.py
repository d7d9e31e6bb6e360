"""What several tests share, and what a test runs in other processes.

``campaign`` and ``numerics`` draw random cases: the suite tries some hundreds of them, and each
module is a program that tries thousands. ``distributed_worker`` holds the processes of a
distributed fit.
"""
