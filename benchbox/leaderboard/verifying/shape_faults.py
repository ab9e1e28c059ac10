"""Whether an entry has what its protocol asks for: board, datasets, conditions, seeds, weights."""

from collections.abc import Iterator

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry


def protocol_faults(entry: Entry, protocol: Protocol) -> Iterator[str]:
    """Yield where an entry is of another board, other datasets or other conditions."""
    if (entry.board, entry.version) != (protocol.board, protocol.version):
        yield f"board: of protocol {protocol.board} {protocol.version}, not of this one"
    for key, dataset in (("train", entry.train), ("test", entry.test)):
        wanted = protocol.dataset(dataset.name)
        if wanted is None:
            yield f"{key}.name: {dataset.name} is not on this board"
            continue
        if wanted.digest is not None and dataset.digest != wanted.digest:
            yield f"{key}.digest: {dataset.digest[:12]}…, the protocol has {wanted.digest[:12]}…"
        if dataset.size != wanted.size:
            yield f"{key}.size: {dataset.size}, the protocol has {wanted.size}"
    if entry.train.name == entry.test.name and entry.train != entry.test:
        yield "test: not the dataset of the same name that was trained on"
    if protocol.backbones and entry.backbone not in protocol.backbones:
        yield f"backbone: {entry.backbone}, expected {' or '.join(protocol.backbones)}"
    conditions = [result.condition for result in entry.results]
    if conditions != list(protocol.conditions):
        yield "results: not clean and every attack at every budget of the protocol, in its order"
    budgets = tuple(worst.eps_255 for worst in entry.worst_case)
    if budgets != protocol.budgets_255:
        yield "worst_case: not one for each budget of the protocol"
    spreads = [(spread.attack, spread.eps_255) for spread in entry.identities.spreads]
    if spreads != [(c.attack, c.eps_255) for c in protocol.conditions]:
        yield "identities.spreads: not one for each result"
    if entry.provenance.finished < entry.provenance.started:
        yield "provenance.finished: before it started"
    if entry.provenance.finished.date().toordinal() > entry.submitted.toordinal() + 1:
        yield "submitted: before the run had finished"


def seed_faults(entry: Entry, protocol: Protocol) -> Iterator[str]:
    """Yield where seeds, weights or cells are not one for each model of the protocol."""
    lists = {
        "weights": [weights.seed for weights in entry.weights],
        **{f"results[{i}].seeds": [m.seed for m in r.seeds] for i, r in enumerate(entry.results)},
        **{
            f"worst_case[{i}].seeds": [s.seed for s in worst.seeds]
            for i, worst in enumerate(entry.worst_case)
        },
    }
    for key, seeds in lists.items():
        if tuple(seeds) != protocol.seeds:
            yield f"{key}: seeds {seeds}, the protocol has {list(protocol.seeds)}"
    digests = [weights.sha256 for weights in entry.weights]
    if len(set(digests)) != len(digests):
        yield "weights: two seeds have the same weights"
    cells = [measured.cell for result in entry.results for measured in result.seeds]
    if len(set(cells)) != len(cells):
        yield "results: a cell stands there twice"
