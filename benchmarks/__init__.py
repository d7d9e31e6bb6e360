"""Every number that the project states, and the scripts that measure them."""
