"""Datasets in the Market-1501 protocol: found, read, checked, and their images loaded."""
