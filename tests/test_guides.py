"""The commands and the code of guides and how-tos run as they stand there, on micro data."""

import importlib.util
import re
from pathlib import Path

import torch

from benchbox.data import sidewalk
from tests.made_datasets import noise_image
from tests.micro import make_micro_dataset
from tests.pages import DOCS, Typist, commands, of_benchbox, shown

HOWTO = DOCS / "howto"
RESEARCHER = DOCS / "researcher.md"
STAND_IN = {
    '"sidewalk-a"': '"path:micro"',
    "[64, 32]": "[32, 16]",
    "epochs = 25\n": "epochs = 1\nbatch_identities = 4\n",
    "pad = 3": "pad = 1",
}
GRID = """
name = "micro"
datasets = ["path:micro"]
backbones = ["{backbone}"]
pretrained = false
image_size = [32, 16]
defenses = [{defenses}]
attacks = ["{attack}"]
budgets = ["8/255"]
steps = 2
[training]
epochs = 1
batch_identities = 4
augmentation = {{ pad = 1 }}
[recipe.adv_train]
steps = 1
{more}
"""


def put_grid(
    folder: Path,
    name: str = "my_grid.toml",
    *,
    defenses: str = '"origin"',
    backbone: str = "small",
    attack: str = "fna",
    more: str = "",
) -> None:
    """Write a grid, under the name that a page uses, and its dataset beside it."""
    make_micro_dataset(folder / "micro", train=6, test=4)
    text = GRID.format(defenses=defenses, backbone=backbone, attack=attack, more=more)
    (folder / name).write_text(text)


def typed(page: Path) -> list[list[str]]:
    """Return the words of each command of benchbox on a page, without its name."""
    return [words for command in commands(page) if (words := of_benchbox(command))]


def test_the_commands_of_start_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """All but `report`, which README's test runs. The grid is as printed, on other images."""
    page = DOCS / "start.md"
    put_grid(tmp_path)
    grid = shown(page, "toml", "first.toml")
    for printed, here in STAND_IN.items():
        assert printed in grid
        grid = grid.replace(printed, here)
    (tmp_path / "first.toml").write_text(grid)
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(page) if words[0] != "report"]
    assert "10 cells from 17 stages: 1 train," in said[0]
    table = (tmp_path / "runs" / "first" / "tables" / "white_box.md").read_text()
    assert "MedianSmoothing2D" in table
    assert (tmp_path / "mine" / "whitebox.toml").is_file()
    assert "128 cells" in said[-1]


def test_the_commands_of_the_researchers_guide_run(tmp_path, monkeypatch, capsys) -> None:
    """All but `report`, which README's test runs, and the study, which trains for minutes."""
    (tmp_path / "my_defense.py").write_text(shown(RESEARCHER, "python", "my_defense.py"))
    put_grid(tmp_path, defenses='"origin", "half_and_half"')
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(RESEARCHER) if words[0] not in {"report", "study"}]
    assert len(said) == 4
    assert "written: mine/whitebox.toml" in said[0]
    assert "4 cells" in said[1]
    assert "Half&Half" in said[2]
    assert "Published are dukemtmcreid, market1501" in said[3]


def test_the_attack_of_the_how_to_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    page = HOWTO / "attack.md"
    (tmp_path / "my_attack.py").write_text(shown(page, "python", "my_attack.py"))
    put_grid(tmp_path, attack="nearest", more="[attack.nearest]\nrival = 2")
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for words in typed(page):
        type_in(*words)
    table = (tmp_path / "runs" / "nearest" / "tables" / "white_box.md").read_text()
    assert "Nearest" in table
    assert '"rival": 2' in (tmp_path / "runs" / "nearest" / "run.json").read_text()


def test_the_attack_of_the_how_to_pulls_to_the_rival_it_says(tmp_path: Path) -> None:
    file = tmp_path / "shown_attack.py"
    file.write_text(shown(HOWTO / "attack.md", "python", "my_attack.py"))
    spec = importlib.util.spec_from_file_location("shown_attack", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    pids = torch.arange(4)
    for rival, expected in ((1, [1, 0, 1, 2]), (2, [2, 2, 0, 1]), (3, [3, 3, 3, 0])):
        guides = module.Nearest(rival=rival).guides(points, pids)
        assert guides.bank[guides.pull[:, 0], 0].tolist() == [points[k, 0] for k in expected]
        assert guides.push.shape == (4, 0)


def test_the_backbone_of_the_how_to_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    page = HOWTO / "backbone.md"
    (tmp_path / "my_backbone.py").write_text(shown(page, "python", "my_backbone.py"))
    put_grid(tmp_path, defenses='"plain", "adv_train"', backbone="stripes")
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for words in typed(page):
        type_in(*words)
    assert "stripes" in (tmp_path / "runs" / "stripes" / "tables" / "white_box.md").read_text()


def test_the_commands_about_stores_and_parameters_run(tmp_path, monkeypatch, capsys) -> None:
    put_grid(tmp_path)
    put_grid(tmp_path, "other_grid.toml", defenses='"origin", "bs_ms"')
    (tmp_path / "parameters.toml").write_text(
        shown(HOWTO / "parameters.md", "toml", "parameters.toml")
    )
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(HOWTO / "resume.md")]
    assert " 0 of them in the store already" in said[1]
    assert re.search(r" [1-9]\d* of them in the store already", said[2])
    ((words),) = typed(HOWTO / "parameters.md")
    plan = type_in(*words)
    assert "sma: steps 8, step_size 2/255" in plan


def test_the_commands_about_datasets_run(tmp_path, monkeypatch, capsys) -> None:
    """`data make` renders a smaller Sidewalk here; test_sidewalk renders the real ones."""
    rendered: list[tuple[str, str]] = []

    def make(name: str, out: Path, *, size: str, **_: object) -> str:
        rendered.append((name, size))
        make_micro_dataset(out, train=2, test=2)
        return "digest"

    monkeypatch.setattr(sidewalk, "make", make)
    make_micro_dataset(tmp_path / "my-set", train=2, test=2)
    for number, person in enumerate(("anna", "bo", "cem", "dana", "eli", "fay")):
        for place, camera in enumerate(("door", "yard")):
            for frame in (1, 2):
                file = tmp_path / "photos" / person / f"{camera}_{frame:03d}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                noise_image(4 * number + 2 * place + frame).save(file)
    places = {"/tmp/sidewalk-a": str(tmp_path / "a"), "path:/data/my-set": "path:my-set"}
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for page in (DOCS / "datasets.md", HOWTO / "dataset.md"):
        said = [type_in(*(places.get(word, word) for word in words)) for words in typed(page)]
    assert rendered == [("sidewalk-a", "tiny")]
    assert "photos.csv: " in said[1]
    assert "no problems" in said[2]
    assert "anna" in (tmp_path / "photos.csv").read_text()
