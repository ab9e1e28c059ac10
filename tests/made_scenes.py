"""A small retrieval scene for attacks on rankings: pictures of people, cameras, a model."""

from typing import Any

import torch
from torch import Tensor

from attacks import Knowledge, Labelled
from attacks.universal import TrainingKnowledge
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.evaluation.scoring import Scorer
from benchbox.training.seeding import seeded
from tests.test_training import TinyModel

EPS = 10 / 255
CPU = torch.device("cpu")


class Scene:
    """Random pictures of six people by three cameras, and an untrained model."""

    def __init__(self, queries: int = 11, gallery: int = 60) -> None:
        generator = torch.Generator().manual_seed(1)
        draw = lambda high, *shape: torch.randint(0, high, shape, generator=generator)  # noqa: E731
        people = torch.rand(6, 3, 16, 8, generator=generator)
        self.pids, self.gallery_pids = draw(6, queries) + 1, draw(6, gallery) + 1
        self.camids, self.gallery_camids = draw(3, queries), draw(3, gallery)
        self.gallery_pids[:5] = 0
        self.gallery_pids[5:8] = -1
        self.pids[3] = 99  # nobody in the gallery is this person

        def pictures(pids: Tensor) -> Tensor:
            noise = torch.rand(len(pids), 3, 16, 8, generator=generator)
            return 0.7 * people[pids % 6] + 0.3 * noise

        torch.manual_seed(3)
        self.model = TinyModel().eval()
        self.images, self.gallery = pictures(self.pids), pictures(self.gallery_pids)
        self.calls: list[int] = []
        features = [
            embed_images(self.model, images, batch_size=64, device=CPU)
            for images in (self.images, self.gallery)
        ]
        self.query = Labelled(features[0], self.pids, self.camids)
        self.known_gallery = Labelled(features[1], self.gallery_pids, self.gallery_camids)
        # All that any attack may be told; the gallery's images stand in for training images.
        self.knowledge: Knowledge = TrainingKnowledge(
            query=self.query,
            gallery=self.known_gallery,
            score=Scorer(self.query, self.known_gallery, ap="trapezoid"),
            embed=self.model,
            images=self.gallery,
            pids=self.gallery_pids,
            seed=0,
            device=CPU,
        )

    def embed(self, images: Tensor) -> Tensor:
        self.calls.append(len(images))
        return self.model(images)

    def retrieval(self, images: Tensor) -> Any:
        with torch.no_grad():
            features = self.model(images)
        return evaluate_retrieval(
            features, self.known_gallery.features, self.pids, self.gallery_pids,
            self.camids, self.gallery_camids,
        )  # fmt: skip

    def search(self, attack: Any, *, batch: int = 64, eps: float = EPS, **options: Any) -> Any:
        aim = attack.prepare(options.pop("knowledge", self.knowledge))
        found = []
        for start in range(0, len(self.images), batch):
            rows = slice(start, start + batch)
            generators = [seeded("key", row) for row in range(len(self.images))[rows]]
            found += attack.search(
                self.embed, self.images[rows], aim[rows], eps=[eps], generator=generators, **options
            )
        fields = ("images", "deepest", "part")
        return [torch.cat([getattr(one, name) for one in found]) for name in fields]
