"""A training that runs: its process, commands to it, and the figures of its steps."""
