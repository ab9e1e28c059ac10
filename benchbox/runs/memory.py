"""What a worker holds in memory besides the program, the model and its layers, before it runs.

None of it but names and labels, some 300 bytes an image, grows with a gallery. Embeddings are
mapped from their file: the system counts the pages that were read as the process's, and takes
them back when it needs them.
"""

from benchbox.data.streaming import AHEAD
from benchbox.evaluation.attacking import queries_at_once
from benchbox.evaluation.retrieval import CHUNK_ELEMENTS
from benchbox.runs.plan import Plan
from benchbox.runs.stages import AttackStage, Data, EmbedStage, HardenedStage, TrainStage

FLOAT = 4
"""Bytes of a float32."""

BATCHES = (64, 256)
"""The batch sizes of a CPU and of a GPU, where ``--batch-size`` says nothing else."""

MATRICES_OF_PAIRS = 6
"""Of queries × gallery, that an attack holds at once that climbs an objective of the ranking."""


def image_bytes(data: Data) -> int:
    """Return what a decoded image takes, in bytes: uint8, three channels."""
    height, width = data.image_size
    return 3 * height * width


def batch_bytes(data: Data, batch_size: int) -> int:
    """Return what batches of test images take: those ahead, the one in use, and that in float."""
    return batch_size * image_bytes(data) * (AHEAD + 1 + FLOAT)


def pair_bytes(stage: AttackStage, batch_size: int) -> int:
    """Return what a batch's distances to the gallery take in an attack that knows it."""
    counts = stage.clean.data.counts
    ranked = counts.query_images if stage.attacked == "gallery" else counts.gallery_images
    if stage.attack.threat == "query":
        ranked = 0
    return queries_at_once(batch_size, ranked) * ranked * FLOAT * MATRICES_OF_PAIRS


def kept_bytes(stage: AttackStage) -> int:
    """Return what the adversarial images take that are kept until all are there."""
    data = stage.clean.data
    of_gallery = stage.attacked == "gallery"
    images = data.counts.gallery_images if of_gallery else data.counts.query_images
    return images * len(stage.budgets) * image_bytes(data) * FLOAT if stage.keep else 0


def memory_in_words(plan: Plan) -> str:
    """Return the bounds for a plan's largest stages, for a person who chooses ``--workers``."""
    embedded = [stage.data for stage in plan.stages if isinstance(stage, EmbedStage)]
    trained = [stage.data for stage in plan.stages if isinstance(stage, TrainStage)]
    trained += [stage.trained_on for stage in plan.stages if isinstance(stage, HardenedStage)]
    attacks = [stage for stage in plan.stages if isinstance(stage, AttackStage)]

    def at_batches(sizes: list[int]) -> str:
        few, many = map(_amount, sizes)
        return f"{few} at a batch of {BATCHES[0]}, {many} at {BATCHES[1]}"

    images = [max((batch_bytes(data, b) for data in embedded), default=0) for b in BATCHES]
    pairs = [max((pair_bytes(stage, b) for stage in attacks), default=0) for b in BATCHES]
    kept = max(map(kept_bytes, attacks), default=0)
    training = max((d.counts.train_images * image_bytes(d) for d in trained), default=0)
    parts = [
        f"test images {at_batches(images)}",
        f"distances {_amount(CHUNK_ELEMENTS * FLOAT)}",
        f"attacks that know the gallery {at_batches(pairs)}" if any(pairs) else "",
        f"adversarial images kept {_amount(kept)}" if kept else "",
        f"training set {_amount(training)}" if training else "",
    ]
    return "; ".join(filter(None, parts))


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
