"""Who does the stages of a run: what an executor is, and the one that uses this machine."""
