"""The store: finished means whole, damaged means not there, killed means nothing appears."""

import json
from pathlib import Path

import pytest

from benchbox.errors import BenchboxError
from benchbox.runs.code import _source_digest
from benchbox.runs.store import Store

KEY = "ab" * 32


def build(store: Store, content: str = "numbers") -> None:
    with store.claim("rank", KEY), store.building("rank", KEY) as folder:
        (folder / "result.json").write_text(content)
        store.finish(
            folder,
            manifest={
                "key": KEY,
                "kind": "rank",
                "title": "rank something",
                "settings": {"ap": "step"},
                "seconds": 1.5,
                "device": "cpu",
            },
        )


def test_a_finished_stage_is_found_with_its_manifest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.manifest("rank", KEY) is None
    build(store)
    manifest = store.manifest("rank", KEY)
    assert manifest is not None
    assert manifest.seconds == 1.5
    assert list(manifest.files) == ["result.json"]
    assert not list((tmp_path / "partial").iterdir())


def _truncate(folder: Path) -> None:
    (folder / "result.json").write_text("number")


def _flip(folder: Path) -> None:
    (folder / "result.json").write_text("nombers")


def _delete(folder: Path) -> None:
    (folder / "result.json").unlink()


def _forget(folder: Path) -> None:
    (folder / "stage.json").unlink()


def _half_manifest(folder: Path) -> None:
    text = (folder / "stage.json").read_text()
    (folder / "stage.json").write_text(text[: len(text) // 2])


def _other_key(folder: Path) -> None:
    manifest = json.loads((folder / "stage.json").read_text())
    (folder / "stage.json").write_text(json.dumps({**manifest, "key": "cd" * 32}))


@pytest.mark.parametrize("damage", [_truncate, _flip, _delete, _forget, _half_manifest, _other_key])
def test_a_damaged_artefact_counts_as_missing_and_is_built_again(tmp_path, damage) -> None:
    store = Store(tmp_path)
    build(store)
    damage(store.folder("rank", KEY))
    assert store.manifest("rank", KEY) is None
    build(store)
    assert store.manifest("rank", KEY) is not None


def fail_while_building(store: Store) -> None:
    with store.claim("rank", KEY), store.building("rank", KEY) as folder:
        (folder / "half.json").write_text("{")
        raise RuntimeError


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError):
        fail_while_building(store)
    assert store.manifest("rank", KEY) is None
    assert not store.folder("rank", KEY).exists()
    assert not list((tmp_path / "partial").iterdir())


def test_an_empty_build_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchboxError, match="wrote no file"):
        store.finish(tmp_path / "empty", manifest={"title": "nothing"})


def test_a_full_disk_is_one_readable_error(tmp_path: Path, monkeypatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    monkeypatch.setattr("benchbox.runs.store.write_json", full)
    with pytest.raises(BenchboxError, match=r"cannot be written \(No space left on device\).*kept"):
        build(store)
    monkeypatch.undo()
    build(store)
    assert store.manifest("rank", KEY) is not None


def test_code_digest_ignores_prose_and_sees_code(tmp_path: Path) -> None:
    file = tmp_path / "m.py"

    def digest(text: str) -> str:
        file.write_text(text)
        return _source_digest(file)

    base = digest('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 1\n')
    assert base == digest('"""Other."""\n# why\ndef f(x):\n    """Else."""\n\n    return (x + 1)\n')
    assert base != digest('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 2\n')
    assert base != digest('"""Doc."""\ndef f(x, y=1):\n    """Doc."""\n    return x + 1\n')
