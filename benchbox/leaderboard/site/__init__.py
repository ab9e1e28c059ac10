"""The boards as static pages that open from disk and ask no other server for anything."""
