"""How datasets lie on disk: folders in Market-1501's way, patterns, lists and manifests."""
