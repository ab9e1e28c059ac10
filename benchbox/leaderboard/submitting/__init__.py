"""From a finished run to entries of a board.

The run is held against the protocol, its numbers are collected from the store, and either all
entries are written or none, with the list of what is missing.
"""
