"""Whether an entry is what it says: schema, plausibility, and its numbers made again from weights."""
