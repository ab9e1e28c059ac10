"""Intervals, bounds and fairness of retrieval numbers, over identities and over seeds.

Queries of one person go up and down together, so identities are drawn, not single queries.
"""
