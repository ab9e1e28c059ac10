"""How a mAP comes about: images are embedded, attacked and checked, then ranked and scored.

No attack's claim is trusted: ``validity`` looks at every adversarial batch. ``retrieval`` is what
users call; ``average_precision`` has the two conventions of the field.
"""
