"""The tables and figures of the paper, one script each."""
