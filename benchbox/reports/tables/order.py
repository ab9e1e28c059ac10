"""Whether a run orders defenses as a paper does: Kendall's τ, and the pairs that are otherwise."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.stats import kendalltau

from attacks import WorstCase
from benchbox.errors import BenchboxError
from benchbox.published.order import PublishedOrder, published_orders
from benchbox.published.record import PublishedSource
from benchbox.reports.standings import hardest
from benchbox.reports.tables.shared_cells import both_pairs
from benchbox.reports.tables.training_protocol import protocol_sentence
from benchbox.reports.tables.wording import MISSING
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements
from benchbox.results.run_folder import RunFolder
from benchbox.tables.table import Header, Table, TableCell

LEAST_ROWS = 3
"""Of two rows the order says next to nothing."""


@dataclass(frozen=True)
class Agreement:
    """How a measured order of defenses and a printed one agree.

    Attributes:
        rows: the defenses that both have, in the table's order.
        tau: Kendall's τ-b of the measured means over seeds with the printed numbers; NaN where
            either has all rows alike.
        by_seed: the same of each seed that all rows have.
        otherwise: pairs of defenses that the paper has in this order and the run the other way.
    """

    rows: tuple[str, ...]
    tau: float
    by_seed: tuple[float, ...]
    otherwise: tuple[tuple[str, str], ...]


def agreement(
    measured: Mapping[str, Mapping[int, float]], printed: Mapping[str, float]
) -> Agreement | None:
    """Return how two orders agree on the defenses that both have; None where these are too few.

    Args:
        measured: defense → seed → mAP.
        printed: defense → mAP.
    """
    rows = tuple(name for name, by_seed in measured.items() if by_seed and name in printed)
    if len(rows) < LEAST_ROWS:
        return None
    means = {name: statistics.fmean(measured[name].values()) for name in rows}
    seeds = sorted(set.intersection(*(set(measured[name]) for name in rows)))
    wanted = [printed[name] for name in rows]
    by_seed = (_tau([measured[name][seed] for name in rows], wanted) for seed in seeds)
    pairs = (
        (a, b) if printed[a] > printed[b] else (b, a)
        for a, b in combinations(rows, 2)
        if printed[a] != printed[b]
    )
    return Agreement(
        rows=rows,
        tau=_tau([means[name] for name in rows], wanted),
        by_seed=tuple(by_seed),
        otherwise=tuple((ahead, behind) for ahead, behind in pairs if means[ahead] < means[behind]),
    )


def _tau(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return float(kendalltau(ours, theirs).statistic)


def order_tables(run: RunFolder, published: Sequence[PublishedSource]) -> dict[str, Table]:
    """Return the tables ``order`` and ``order_pairs``; none where no three rows are shared."""
    if run.record.grid.get("validation"):
        return {}
    found = list(_agreements(run, published))
    if not found:
        return {}
    sentence = protocol_sentence(run.record.names.training)
    return {"order": _taus(found, sentence), "order_pairs": _pairs(found, sentence)}


def require_order_tables(run: RunFolder, published: Sequence[PublishedSource]) -> dict[str, Table]:
    """Return `order_tables`.

    Raises:
        BenchboxError: there are none.
    """
    tables = order_tables(run, published)
    if not tables:
        raise BenchboxError(
            f"{run.path}: no table of a paper has {LEAST_ROWS} of its defenses, under an attack "
            "and a budget that it measured on test queries."
        )
    return tables


@dataclass(frozen=True)
class _Block:
    """A measured block beside a printed one."""

    cells: Measurements
    group: Group
    printed: PublishedOrder
    found: Mapping[Condition, Agreement]

    @property
    def labels(self) -> tuple[str, str, str]:
        """Model and dataset as measured, and the paper's table with what it is of."""
        where = self.cells.names.pair_title(self.printed.train, self.printed.test)
        about = f"{self.printed.source.about.citation}, Table {self.printed.table}, {where}"
        return (*self.cells.group_titles(self.group), about)


def _agreements(run: RunFolder, published: Sequence[PublishedSource]) -> Iterator[_Block]:
    printed = list(published_orders(published))
    for cells in both_pairs(run):
        for group in cells.groups:
            for order in printed:
                if (order.train == order.test) != (group.train == group.test):
                    continue
                found = {c: _agreed(cells, group, c, order) for c in cells.conditions}
                shared = {c: one for c, one in found.items() if one is not None}
                if shared:
                    yield _Block(cells, group, order, shared)


def _agreed(
    cells: Measurements, group: Group, condition: Condition, order: PublishedOrder
) -> Agreement | None:
    """Return the agreement under a condition; of the worst case with the lowest that is printed."""
    if condition.attack == WorstCase.name:
        theirs = order.lowest(condition.eps_255)
    else:
        theirs = dict(order.values.get((condition.attack, condition.eps_255), {}))
    ours = {
        defense: {seed: s.mAP for seed, s in cells.at(group, defense, condition).items()}
        for defense in cells.rows_of(group)
    }
    return agreement(ours, theirs)


def _taus(blocks: Sequence[_Block], sentence: str) -> Table:
    conditions = list(dict.fromkeys(c for block in blocks for c in block.found))
    cells = blocks[0].cells
    rows = []
    for block in blocks:
        count = max(len(one.rows) for one in block.found.values())
        texts = (_tau_text(block.found.get(c)) for c in conditions)
        rows.append(tuple(map(TableCell, (*block.labels, str(count), *texts))))
    headings = ("Model", "Dataset", "Printed in", "Rows", *map(cells.condition_title, conditions))
    return Table(
        "The order of defenses, measured and published",
        "Kendall's τ-b of the mAP measured here (mean over seeds) and the mAP a paper printed for "
        "the same defenses, over the datasets and the network of its block: 1 is the same order, "
        "0 none. In brackets the least and the greatest τ of single seeds. Datasets and networks "
        "need not be the same, and no number is compared but by its place. The worst case, which "
        "papers do not have, stands against the lowest mAP printed at its budget. "
        f"{MISSING}: fewer than {LEAST_ROWS} shared rows, or all alike. {sentence}".strip(),
        (tuple(map(Header, headings)),),
        tuple(rows),
        group_columns=2,
        label_columns=3,
    )


def _tau_text(found: Agreement | None) -> str:
    if found is None or found.tau != found.tau:  # NaN
        return MISSING
    seeds = [tau for tau in found.by_seed if tau == tau]
    spread = f" [{min(seeds):.2f}, {max(seeds):.2f}]" if len(seeds) > 1 else ""
    return f"{found.tau:.2f}{spread}"


def _pairs(blocks: Sequence[_Block], sentence: str) -> Table:
    rows = []
    for block in blocks:
        names = block.cells.names
        attacked = [c for c in block.found if not c.is_clean]
        worst = [c for c in attacked if c == hardest(block.cells)]
        for condition in dict.fromkeys([*attacked[:1], *worst]):
            pairs = block.found[condition].otherwise
            texts = (
                f"{names.title('defenses', first)} before {names.title('defenses', second)}"
                for first, second in pairs
            )
            said = "; ".join(texts) or "none"
            where = (*block.labels, block.cells.condition_title(condition))
            rows.append(tuple(map(TableCell, (*where, str(len(pairs)), said))))
    headings = (
        "Model",
        "Dataset",
        "Printed in",
        "Attack",
        "Pairs",
        "Printed so, measured otherwise",
    )
    return Table(
        "What is ordered otherwise than published",
        "Pairs of defenses that the paper has in this order and the means of this run the other "
        "way, under the first attack and under the one that leaves least at the smallest budget. "
        "Whether a pair's difference is more than chance, the report's other tables say. "
        f"{sentence}".strip(),
        (tuple(map(Header, headings)),),
        tuple(rows),
        group_columns=2,
        label_columns=4,
    )
