"""Backbones: images in [0, 1] to embeddings."""
