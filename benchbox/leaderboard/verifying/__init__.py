"""Whether an entry is what it says it is.

Without the weights: its schema and digest, and whether its numbers can be (``plausibility``). With
them: all numbers computed again, and the sanity checks repeated (``rerun``).
"""
