"""Models: images in [0, 1] to embeddings of unit length.

A backbone by name (``registry``) gets the ReID head (``reid``), normalisation inside. ``folding``
makes the frozen copy that attacks run on; ``checkpoints`` reads the weights that others trained.
"""
