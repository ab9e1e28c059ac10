"""Whether an entry is what it says: schema, plausibility, its numbers made again."""
