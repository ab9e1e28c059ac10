"""What README.md tells a user to type works as it stands there."""

import csv
import html
import json
import re
from pathlib import Path

from defenses import DEFENSES
from tests.micro import make_micro_dataset, write_micro_grid
from tests.pages import README, ROOT, Typist, blocks, commands, of_benchbox, shown

TABLE = re.compile(r"^\| ([^|]+) \| ([\d.]+/[\d.]+ .*) \|$", re.MULTILINE)


def test_every_command_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "my_defense.py").write_text(shown(README, "python", "my_defense.py"))
    grid = write_micro_grid(tmp_path / "my_grid.toml", make_micro_dataset(tmp_path / "micro"))
    text = grid.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin", "half_and_half"')
    grid.write_text(text.replace("steps = 10", "steps = 2"))
    typed = [words for command in commands(README) if (words := of_benchbox(command))]
    assert [words[0] for words in typed] == ["run", "run", "report"]
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for words in typed:
        type_in(*words)
    run = tmp_path / "runs" / "mine"
    with (run / "results.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["defense"] == "half_and_half"]
    assert len(rows) == 5
    assert "Half&Half" in html.unescape((run / "tables" / "white_box.md").read_text())
    assert (run / "report.html").stat().st_size > 10_000


def test_the_python_snippet_runs_as_it_stands(capsys) -> None:
    (snippet,) = [block for block in blocks(README, "python") if "evaluate_retrieval" in block]
    exec(snippet, names := {"__name__": "__main__"})
    clean, attacked = re.findall(r": mAP ([\d.]+), Rank-1 ([\d.]+)", capsys.readouterr().out)
    assert float(attacked[0]) < float(clean[0]) / 2
    assert 0 < (names["adversarial"] - names["queries"]).abs().max() <= 8 / 255 + 1e-6


def test_the_table_is_the_demos_baseline() -> None:
    """Which `make regress` holds the demo to: every number, as the README rounds it."""
    baseline = json.loads((ROOT / "baselines" / "demo.json").read_text())
    measured = {
        (DEFENSES[cell["defense"]].title, cell["attack"], cell["eps_255"]): cell["seeds"][0]
        for cell in baseline["cells"]
        if cell["test"] == "sidewalk-a"
    }
    columns = [("none", 0), ("fna", 8), ("fna", 10), ("sma", 8), ("ifgsm", 8), ("worst_case", 8)]
    rows = dict(TABLE.findall(README.read_text()))
    assert list(rows) == [DEFENSES[name].title for name in baseline["grid"]["defenses"]]
    for title, numbers in rows.items():
        cells = [measured[title, *column] for column in columns]
        expected = [f"{cell['mAP']:.2f}/{cell['rank1']:.2f}" for cell in cells]
        assert numbers.split(" | ") == expected, title
