"""What several tests share, and programs that tests run in other processes.

``campaign``, ``numerics`` and ``hostile`` draw random cases: the suite tries some hundreds of them,
and each module is a program that tries thousands. ``manners`` provokes every error and warning; as
a program it writes ``docs/errors.md``. ``distributed_worker`` holds the processes of a distributed
fit.
"""
