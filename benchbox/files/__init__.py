"""Reading and writing files: atomic writes, bounded reads, digests, TOML, and the terminal.

Whoever is killed while writing leaves the old file or none, never half of one. What is read may be
a stranger's, so there is a size that a reader does not go beyond.
"""
