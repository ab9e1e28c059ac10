"""Trains SmallNet on a folder in Market-1501's layout: plain PyTorch, no benchbox anywhere.

python train.py DATA/bounding_box_train --out model.pth
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from network import SmallNet, normalise
from PIL import Image

HEIGHT, WIDTH = 64, 32


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (N, 3, 64, 32) in [0, 1] and class labels (N,)."""
    files = sorted(file for file in folder.iterdir() if file.suffix in {".jpg", ".png"})
    names = sorted({file.name.split("_")[0] for file in files})
    pixels = [
        np.asarray(
            Image.open(file).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        )
        for file in files
    ]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return images, torch.tensor([names.index(file.name.split("_")[0]) for file in files])


def triplet(features: torch.Tensor, labels: torch.Tensor, margin: float = 0.3) -> torch.Tensor:
    """Return the batch-hard triplet loss."""
    distances = torch.cdist(features, features)
    same = labels[:, None] == labels[None]
    hardest_positive = distances.masked_fill(~same, 0).amax(1)
    hardest_negative = distances.masked_fill(same, float("inf")).amin(1)
    return F.relu(hardest_positive - hardest_negative + margin).mean()


def batches(labels: torch.Tensor, identities: int = 16, images: int = 4) -> list[torch.Tensor]:
    """Return an epoch of batches: some identities with some images each."""
    order = torch.randperm(int(labels.max()) + 1)
    found = []
    for chosen in order.split(identities):
        rows = [(labels == label).nonzero().flatten() for label in chosen]
        picked = [row[torch.randint(len(row), (images,))] for row in rows]
        found.append(torch.cat(picked))
    return found


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("model.pth"))
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    torch.manual_seed(0)
    images, labels = load(options.folder)
    model = SmallNet(int(labels.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    for epoch in range(options.epochs):
        for rows in batches(labels):
            batch = images[rows]
            if torch.rand(()) < 0.5:
                batch = batch.flip(3)
            logits, pooled = model(normalise(batch))
            loss = F.cross_entropy(logits, labels[rows], label_smoothing=0.1)
            loss = loss + triplet(pooled, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    torch.save(
        {
            "epoch": options.epochs,
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
        },
        options.out,
    )


if __name__ == "__main__":
    main()
