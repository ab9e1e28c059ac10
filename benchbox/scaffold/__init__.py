"""``benchbox new-defense``: a working defense and its test, for an author to start from."""
