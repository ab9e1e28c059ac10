"""Training a model by a recipe: batches, losses, schedule, and checkpoints to go on from."""
