"""The tables and figures of the paper, one script each, and the measures that only they use."""
