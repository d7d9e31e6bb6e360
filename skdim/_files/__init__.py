"""Files that are whole or absent, and files that cannot run code."""
