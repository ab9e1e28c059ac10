"""The tables of a run, and of what papers printed beside it."""
