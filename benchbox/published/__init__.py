"""What papers printed, read strictly and never mixed with measured numbers.

The numbers lie as CSV beside a TOML that says how they were reported; see
``leaderboards/published/README.md``.
"""
