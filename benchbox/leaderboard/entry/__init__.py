"""An entry of a board: the record that its JSON holds, its numbers, and its file's name."""
