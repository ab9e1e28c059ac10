"""Intervals, bounds and fairness of retrieval numbers, over identities and over seeds."""
