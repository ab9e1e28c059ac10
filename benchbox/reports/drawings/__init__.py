"""Which figures a run has: for each its title, its caption and the data it is drawn from."""
