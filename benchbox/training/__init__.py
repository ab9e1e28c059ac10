"""Training a model by a recipe: batches, losses, schedule, and checkpoints to go on from.

A recipe states hyperparameters and the losses of a batch (``recipe``); the loop here does the rest.
"""
