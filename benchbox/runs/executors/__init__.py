"""Who does the stages of a run: what an executor is, and the one that uses this machine.

An engine for a cluster is one more file here; ``events`` says what it has to do.
"""
