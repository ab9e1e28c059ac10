"""Challenges to an entry: one that wins is written down and shown, false ones are refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from attacks import WorstCase
from benchbox.data.finding import open_dataset
from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError, CheckFailed
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.challenging.challenge import Outcome, challenge
from benchbox.leaderboard.entry.challenges import best_known, challenges_file, read_challenges
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.verifying.recompute import plan_of
from benchbox.leaderboard.verifying.rerun import RerunOptions
from benchbox.leaderboard.verifying.verify import verify
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import AttackStage, with_needs
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace
from tests.made_boards import NAME, made_run, submitted, weights_of

EPS = 8 / 255
WHO = {"by": "Zoë Ångström", "address": "https://example.org/queries"}


@dataclass(frozen=True)
class Planted:
    """Queries that the worst case made of BS+MS's models, which its board does not run.

    Attributes:
        clean: (Q, 3, H, W) in [0, 1].
        adversarial: seed → likewise.
        keys: (Q) of the queries.
        left: seed → the mAP in percent that a rank stage of a run gives for them.
    """

    clean: torch.Tensor
    adversarial: dict[int, torch.Tensor]
    keys: list[str]
    left: dict[int, float]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = submitted()
    entry = read_entry(root / "boards" / "micro" / NAME)
    protocol = read_protocol(root / "boards" / "micro")
    datasets = {"market1501": open_dataset("market1501", data_root=root / "data")}
    plan = plan_of(entry, protocol, load_registry(), datasets, weights_of(root), where=NAME)
    place = Workplace(Site(tmp_path_factory.mktemp("store"), datasets, "cpu", 64))
    made, left = {}, {}
    for rank in (cell.rank for cell in plan.cells if cell.rank.attacked is None):
        (budget,) = {cell.budget for cell in plan.cells if float(cell.budget) == EPS}
        stage = AttackStage(rank.clean, WorstCase(tier="full"), (budget,), 0, keep=True)
        for each in with_needs([stage]):
            do_stage(each, place)
        seed = rank.clean.network.seed
        made[seed] = stage.images(place, budget)
        left[seed] = 100 * rank.ranking(place)(stage.features(place, budget)).mAP
    data = rank.clean.data
    keys = [record.key for record in data.records(place, "query")]
    return Planted(to_unit(data.test_images(place, "query")[:]), made, keys, left)


@pytest.fixture
def entry_file(tmp_path: Path) -> Path:
    board = tmp_path / "boards" / "micro"
    shutil.copytree(submitted() / "boards" / "micro", board)
    return board / NAME


def challenged(entry_file: Path, file: Path, *, seed: int = 0) -> Outcome:
    root = made_run()
    options = RerunOptions(weights=weights_of(root), device="cpu", data_root=root / "data")
    return challenge(entry_file, {seed: file}, options, **WHO)


def as_array(folder: Path, images: torch.Tensor) -> Path:
    np.save(folder / "queries.npy", images.numpy())
    return folder / "queries.npy"


def as_pngs(folder: Path, planted: Planted, images: torch.Tensor) -> Path:
    """Write 8-bit PNGs inside the ball: rounded towards the clean image, as a camera could."""
    out = folder / "pngs"
    moved = ((images - planted.clean) * 255).trunc()
    pixels = (planted.clean * 255).round() + moved
    for key, image in zip(planted.keys, pixels, strict=True):
        file = out / Path(key.partition("/")[2]).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.byte().permute(1, 2, 0).numpy()).save(file)
    return out


def test_a_planted_challenge_lowers_the_number_and_is_shown(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    entry = read_entry(entry_file)
    worst = {of.seed: of.mAP for of in entry.worst_case[0].seeds}
    assert planted.left[0] < worst[0]
    found = challenged(entry_file, as_array(tmp_path, planted.adversarial[0]))
    assert found.found == {0: pytest.approx(planted.left[0], abs=1e-9)}
    assert found.before == pytest.approx(entry.worst_case[0].mAP.mean, abs=1e-9)
    assert found.after == pytest.approx((planted.left[0] + worst[1]) / 2, abs=1e-9)
    assert found.path == challenges_file(entry_file)

    # The other seed's, from a file that says for what it was made.
    file = tmp_path / "one.safetensors"
    digests = {"entry": entry.digest, "dataset": entry.test.digest}
    save_file({"images": planted.adversarial[1]}, file, metadata=digests)
    again = challenged(entry_file, file, seed=1)
    assert (again.before, again.after) == (
        pytest.approx(found.after, abs=1e-9),
        pytest.approx(sum(planted.left.values()) / 2, abs=1e-9),
    )
    assert read_entry(entry_file) == entry
    kept = read_challenges(entry_file, entry)
    assert [one.by for one in kept] == ["Zoë Ångström"] * 2
    assert best_known(entry, kept).mean == pytest.approx(again.after, abs=1e-9)

    (verified,) = (one for one in verify([entry_file]).entries)
    assert verified.challenges == kept
    build_site(entry_file.parents[1], tmp_path / "site")
    page = (tmp_path / "site" / "micro" / NAME.replace(".json", ".html")).read_text()
    assert f"<strong>{again.after:.2f}</strong>" in page
    assert WHO["by"] in page
    assert WHO["address"] in page
    board = (tmp_path / "site" / "micro" / "index.html").read_text()
    assert f">{again.after:.2f}<small>challenged</small>" in board
    listed = json.loads((tmp_path / "site" / "micro" / "micro.json").read_text())["entries"]
    (mine,) = (one for one in listed if one["file"] == NAME)
    assert mine["best_known"] == pytest.approx(again.after, abs=1e-9)
    assert [one["by"] for one in mine["challenges"]] == [WHO["by"]] * 2


def test_eight_bit_pngs_count_as_what_they_are(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    folder = as_pngs(tmp_path, planted, planted.adversarial[0])
    pngs = challenged(entry_file, folder)
    entry_again = tmp_path / "again" / "micro" / NAME
    shutil.copytree(submitted() / "boards" / "micro", entry_again.parent)
    names = [folder / Path(key.partition("/")[2]).with_suffix(".png") for key in planted.keys]
    stacked = np.stack([np.asarray(Image.open(name)).transpose(2, 0, 1) for name in names])
    array = challenged(entry_again, as_array(tmp_path, torch.from_numpy(stacked)))
    assert pngs.found == array.found
    assert pngs.after < pngs.before


def test_one_that_does_not_win_is_not_written_down(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    found = challenged(entry_file, as_array(tmp_path, planted.clean))
    clean = read_entry(entry_file).clean.seeds[0].mAP
    assert found.found[0] == pytest.approx(clean, abs=0.5)
    assert (found.path, found.after) == (None, found.before)
    assert not challenges_file(entry_file).exists()


def outside(images: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    far = images.clone()
    far[3, 0, 0, 0] = (clean[3, 0, 0, 0] + 0.5) % 1.0
    return far


def in_another_order(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return images[[1, 0, *range(2, len(images))]]


def with_nan(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    broken = images.clone()
    broken[0, 0, 0, 0] = torch.nan
    return broken


def out_of_range(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return images - 1e-3 * (images == images.min())


def one_short(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return images[:-1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (outside, r"query 3 lies .*/255 from its clean image; the budget is 8/255 \(1 of"),
        (in_another_order, "query 0 lies .* but in the ball of query 1: another order"),
        (with_nan, "a pixel is not finite"),
        (out_of_range, r"a pixel is outside \[0, 1\]"),
        (one_short, "has the shape"),
    ],
)
def test_false_queries_are_refused(
    change, says: str, entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    file = as_array(tmp_path, change(planted.adversarial[0].clone(), planted.clean))
    with pytest.raises(BenchboxError, match=says):
        challenged(entry_file, file)
    assert not challenges_file(entry_file).exists()


@pytest.mark.parametrize("key", ["entry", "dataset"])
def test_queries_for_another_entry_or_dataset_are_refused(
    key: str, entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"images": planted.adversarial[0]}, file, metadata={key: "0" * 64})
    with pytest.raises(BenchboxError, match=f"{key}: made for 000000000000…"):
        challenged(entry_file, file)


def test_the_weights_of_another_entry_are_refused(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    files = weights_of(made_run())
    swapped = RerunOptions(
        weights={0: files[1], 1: files[0]}, device="cpu", data_root=made_run() / "data"
    )
    file = as_array(tmp_path, planted.adversarial[0])
    with pytest.raises(BenchboxError, match="SHA-256 is"):
        challenge(entry_file, {0: file}, swapped, **WHO)


def sixteen_bit_png(width: int, height: int) -> bytes:
    """Return a PNG of 16 bits a channel in RGB, by the format's specification."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = (b"\0" + bytes(6 * width)) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_pngs_of_sixteen_bits_or_of_other_names_are_refused(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    folder = as_pngs(tmp_path, planted, planted.adversarial[0])
    height, width = planted.clean.shape[2:]
    file = folder / Path(planted.keys[0].partition("/")[2]).with_suffix(".png")
    kept = file.read_bytes()
    file.write_bytes(sixteen_bit_png(width, height))
    with pytest.raises(BenchboxError, match="has 16 bits a channel"):
        challenged(entry_file, folder)
    Image.open(folder / file.name).convert("L").save(file)
    with pytest.raises(BenchboxError, match="is not RGB"):
        challenged(entry_file, folder)
    file.unlink()
    with pytest.raises(BenchboxError, match="is missing"):
        challenged(entry_file, folder)
    file.write_bytes(kept)
    (folder / "stranger.png").write_bytes(kept)
    with pytest.raises(BenchboxError, match=r"stranger\.png is of no query"):
        challenged(entry_file, folder)


def test_a_pickled_array_is_not_opened(entry_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "queries.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BenchboxError, match="is no array"):
        challenged(entry_file, tmp_path / "queries.npy")


def test_challenges_of_an_earlier_entry_or_budget_do_not_verify(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    challenged(entry_file, as_array(tmp_path, planted.adversarial[0]))
    file = challenges_file(entry_file)
    content = json.loads(file.read_text())
    for change, says in (
        ({"entry": "0" * 64}, "is of another version of the entry"),
        ({"challenges": [{**content["challenges"][0], "eps_255": 10.0}]}, "not the one that ranks"),
        (
            {"challenges": [{**content["challenges"][0], "seeds": [{"seed": 7, "mAP": 0.0}]}]},
            "not seeds of the entry",
        ),
    ):
        file.write_text(json.dumps({**content, **change}))
        assert [says in problem.says for problem in verify([entry_file]).problems] == [True]
        with pytest.raises(CheckFailed, match=says):
            build_site(entry_file.parents[1], tmp_path / "site")


def test_the_command_says_what_became_of_it(
    entry_file: Path, planted: Planted, tmp_path: Path
) -> None:
    root = made_run()
    weights = [f"--weights={seed}={file}" for seed, file in weights_of(root).items()]

    def typed(images: torch.Tensor) -> subprocess.CompletedProcess[str]:
        file = as_array(tmp_path, images)
        words = [
            *("leaderboard", "challenge", str(entry_file), f"--images=0={file}", *weights),
            *(f"--by={WHO['by']}", f"--address={WHO['address']}", "--device=cpu"),
            f"--data-root={root / 'data'}",
        ]
        command = [sys.executable, "-m", "benchbox", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    lost = typed(planted.clean)
    assert lost.returncode == 1
    assert "not below the best known number" in lost.stderr
    won = typed(planted.adversarial[0])
    assert won.returncode == 0, won.stderr
    assert f"seed 0: the queries leave {planted.left[0]:.2f} mAP" in won.stdout
    assert challenges_file(entry_file).is_file()
