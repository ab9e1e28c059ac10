"""Defenses: one file each, a training recipe and an input guard."""
