"""The leaderboard: boards with a protocol, entries measured by it, and what checks them.

A board is a folder with a ``protocol.toml`` and one JSON an entry. ``submitting`` makes entries of
a finished run, ``sanity`` asks whether an attack was misled, ``verifying`` holds an entry to what
it says, ``site`` writes the pages. Every entry is read as a stranger's.
"""
