"""The leaderboard: boards with a protocol, entries measured by it, and what checks them."""
