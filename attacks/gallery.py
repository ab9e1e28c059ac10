"""Attacks on the gallery (after Bai et al. 2020), the queries being clean: hiding and promoting."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from typing_extensions import override

from attacks.base import Knowledge, Labelled, ThreatModel
from attacks.briefing import Briefing
from attacks.rank_objectives import RankObjective, match_distance, towards
from attacks.ranked_attack import RankedAttack
from attacks.ranking import Ranking
from attacks.targeted import towards_chosen
from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class Hiding(RankedAttack):
    """Moves every gallery image away from the queries that should find it.

    Bai et al. 2020 ("Adversarial metric attack and defense for person re-identification") perturb
    the gallery: each image is pushed from the embeddings of its own identity. Here those are the
    queries of its identity on other cameras, and the search is Auto-PGD's. Images that no query
    should find, distractors among them, stay as they are. ``temperature`` has no meaning here.
    """

    name: ClassVar[str] = "hiding"
    title: ClassVar[str] = "Hiding"
    threat: ClassVar[ThreatModel] = "gallery"
    lone_start: ClassVar[Literal["random", "clean"]] = "clean"

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        """Return the briefing of the gallery's images, which are those that are attacked."""
        return Briefing(
            ranking=Ranking.of(_gallery(self.name, known), known.query), draws=known.draws
        )

    @override
    def objective(self, temperature: float) -> RankObjective:
        return match_distance


@dataclass(frozen=True, kw_only=True)
class Promoting(RankedAttack):
    """Moves every gallery image towards the queries of an identity that it does not show.

    The identity chosen is the farthest one, as in `Impersonation`, so that one promoted image is
    found by every query of that identity. ``temperature`` has no meaning here.
    """

    name: ClassVar[str] = "promoting"
    title: ClassVar[str] = "Promoting"
    threat: ClassVar[ThreatModel] = "gallery"

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        """Return the briefing of the gallery's images, which are those that are attacked."""
        chosen = towards_chosen(_gallery(self.name, known), known.query)
        return Briefing(ranking=Ranking.of(chosen, known.query), draws=known.draws)

    @override
    def objective(self, temperature: float) -> RankObjective:
        return towards(match_distance)


def _gallery(name: str, known: Knowledge) -> Labelled:
    if known.gallery is None:
        raise BenchboxError(f"{name}: it attacks the gallery and must be given it")
    return known.gallery
