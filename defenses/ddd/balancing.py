"""Data balancing (Eq. 1, 2) as a preparation: train a diffusion model, make what is missing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from benchbox.data.images import load_images
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text
from benchbox.models.weights import save_weights
from benchbox.training.checkpoint import log_text
from benchbox.training.preparation import Ingredients, Preparation
from benchbox.training.training_set import TrainingSet
from defenses.ddd.balanced_set import (
    generated_name,
    read_generated,
    require_originals,
    write_balanced_set,
)
from defenses.ddd.counting import images_to_make, mean_level
from defenses.ddd.diffusion import Diffusion, require_diffusers
from defenses.ddd.diffusion_training import train_diffusion
from defenses.ddd.edm import Examples
from defenses.ddd.generation import generate


@dataclass(frozen=True, kw_only=True)
class Balancing(Preparation):
    """Train a diffusion model on the training set and add the images that Eq. 1 and 2 ask for.

    The artefact: ``bounding_box_train/`` with originals and generated images (marked in their
    names, see ``balanced_set``), ``synthetic.csv``, ``balanced.json``, ``contact_sheet.png``,
    the diffusion model's weights ``diffusion.safetensors`` and its log ``diffusion.jsonl``.

    Attributes:
        fill_to: δ1; 0 means the mean images per identity, rounded. The paper: identities "are
            filled to an average sample number level".
        camera_share: δ2. Ours: half of an identity's images; the paper's supplement, which has
            its value, is not public.
        at_most: cap on the generated images, 0 for none; see :func:`images_to_make`.
        seed: settles the diffusion model's training and the generated images.
        diffusion: the model.
    """

    title: ClassVar[str] = "balance by diffusion"

    fill_to: int = 0
    camera_share: float = 0.5
    at_most: int = 0
    seed: int = 0
    diffusion: Diffusion = field(default_factory=Diffusion)

    def __post_init__(self) -> None:
        if self.fill_to < 0 or self.at_most < 0 or not 0 <= self.camera_share <= 1:
            raise BenchboxError(
                f"data balancing: fill_to = {self.fill_to}, camera_share = {self.camera_share}, "
                f"at_most = {self.at_most}: expected numbers from 0 on, and a share up to 1."
            )

    @property
    @override
    def cost(self) -> float:
        return self.diffusion.cost

    @override
    def require(self) -> None:
        require_diffusers()

    @override
    def make(self, given: Ingredients, folder: Path) -> None:
        """Train, generate, and write the balanced set; see :class:`Preparation`."""
        require_originals(given.records)
        pids = sorted({record.pid for record in given.records})
        camids = sorted({record.camid for record in given.records})
        examples = Examples(
            images=_at_size(given.data.images, self.diffusion),
            identity=torch.tensor([pids.index(record.pid) for record in given.records]),
            camera=torch.tensor([camids.index(record.camid) for record in given.records]),
        )
        pairs = [(record.pid, record.camid) for record in given.records]
        level = self.fill_to or mean_level(pairs)
        wanted = images_to_make(
            pairs,
            fill_to=level,
            camera_share=self.camera_share,
            at_most=self.at_most,
        )
        # By network calls, three for a training image, against which the rest takes no time.
        trained = 3 * self.diffusion.steps * self.diffusion.batch_size
        share = trained / (trained + len(wanted) * self.diffusion.calls)
        model, history = train_diffusion(
            self.diffusion,
            examples,
            seed=self.seed,
            scratch=given.scratch,
            device=given.device,
            progress=lambda done, text: given.progress(done * share, text),
        )
        example = given.records[0].path.name
        made = {
            image: given.scratch / "generated" / generated_name(image, like=example)
            for image in wanted
        }
        generate(
            model,
            self.diffusion,
            made,
            pids=pids,
            camids=camids,
            seed=self.seed,
            batch_size=given.batch_size,
            progress=lambda done, text: given.progress(share + done * (1 - share), text),
        )
        save_weights(model, folder / "diffusion.safetensors", metadata={"made": self.title})
        write_text(folder / "diffusion.jsonl", log_text(history))
        write_balanced_set(given.records, made, folder, settings={**asdict(self), "fill_to": level})

    @override
    def training_set(
        self, records: Sequence[ImageRecord], data: TrainingSet, folder: Path
    ) -> TrainingSet:
        """Return ``data`` and behind it the generated images, at its size, with its labels."""
        if data.examples is not None:
            raise BenchboxError(
                "data balancing: the training set has adversarial examples already; the generated "
                "images have none. Balance first."
            )
        generated = read_generated(folder)
        label = {record.pid: int(data.labels[index]) for index, record in enumerate(records)}
        height, width = data.images.shape[2:]
        images = load_images(generated, size=(height, width))
        labels = data.labels.new_tensor([label[record.pid] for record in generated])
        return TrainingSet(torch.cat([data.images, images]), torch.cat([data.labels, labels]))


def _at_size(images: Tensor, diffusion: Diffusion) -> Tensor:
    """Return (N, 3, h, w) float32 images in [-1, 1] at the diffusion model's size."""
    height, width = images.shape[2:]
    size = diffusion.size((height, width))
    # In pieces: as floats, all of Market-1501 at 256×128 would take 5 GB.
    parts = (images[start : start + 256] for start in range(0, len(images), 256))
    return torch.cat([F.adaptive_avg_pool2d(part / 127.5 - 1, size) for part in parts])
