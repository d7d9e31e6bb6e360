"""A fitted model: its configuration, inference, readouts, scores and state."""
