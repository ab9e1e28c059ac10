"""Who does the stages of a run: processes on this machine."""
