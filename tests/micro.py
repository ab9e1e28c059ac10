"""A dataset and a grid so small that a whole run takes seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

_CAMERAS = (1, 2, 3)


def make_micro_dataset(root: Path, *, train: int = 8, test: int = 5, frames: int = 2) -> Path:
    """Write identities that are colours, seen by three cameras of different brightness."""
    rng = np.random.default_rng(0)
    for pid in range(1, train + test + 1):
        colours = rng.integers(30, 226, (3, 3))  # head, torso, legs
        for camid in _CAMERAS:
            for frame in range(frames):
                body = np.repeat(colours, (4, 14, 14), axis=0)[:, None].repeat(16, 1)
                noise = rng.integers(-25, 26, body.shape)
                pixels = np.clip(body * (0.8 + 0.1 * camid) + noise, 0, 255).astype(np.uint8)
                if pid <= train:
                    folder = "bounding_box_train"
                else:
                    folder = "query" if frame == 0 and camid < 3 else "bounding_box_test"
                file = root / folder / f"{pid:04d}_c{camid}s1_{frame:06d}_01.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(file)
    return root


def write_micro_grid(file: Path, dataset: Path, *, epochs: int = 2, extra: str = "") -> Path:
    """Write a grid over the micro dataset: 2 trainings, 3 rows, 2 attacks, 2 budgets."""
    file.write_text(
        f"""
name = "micro"
datasets = ["path:{dataset}"]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
defenses = ["origin", "bs_ms", "adv_train"]
attacks = ["fna", "sma"]
budgets = ["8/255", "10/255"]
steps = 10
{extra}
[training]
epochs = {epochs}
batch_identities = 4
batch_images = 4
lr = 1e-3
schedule = "one_cycle"
augmentation = {{ pad = 1, erasing = 0.0 }}
[recipe.adv_train]
steps = 2
start = "vanilla"
"""
    )
    return file
