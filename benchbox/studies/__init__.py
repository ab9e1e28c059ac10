"""Studies: questions of the paper that are not a grid of defenses and attacks.

So far one, its Table 1: does robustness live in the classifier?
"""
