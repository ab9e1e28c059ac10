"""Reading and writing files: atomic writes, bounded reads, digests, TOML, and the terminal."""
