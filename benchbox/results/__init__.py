"""Reading a finished run: its tables, its record, and the artefacts of its stages.

Reports, regression and leaderboard all read a run through here. The folder may be a stranger's.
"""
