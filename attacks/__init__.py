"""Attacks: one file each, over one ascent loop."""
