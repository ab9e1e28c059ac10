"""Intervals and bounds of retrieval numbers: bootstraps over identities, Student's interval over seeds."""
