"""Which figures a run has: for each its title, its caption and the data it is drawn from.

``figures`` knows how to draw and nothing of runs; here a run's data is brought to it.
"""
