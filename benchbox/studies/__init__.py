"""Studies: questions of the paper that are not a grid of defenses and attacks."""
