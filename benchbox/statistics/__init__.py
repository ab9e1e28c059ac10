"""Intervals and bounds of retrieval numbers, over identities and over seeds."""
