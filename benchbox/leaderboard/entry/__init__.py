"""An entry of a board: its record, its numbers, its file."""
