"""The boards as static pages that open from disk."""
