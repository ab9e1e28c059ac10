"""What of the user's code stands in a key: every file it imports, every data file it reads."""

import shutil
import sys
import textwrap

import pytest

from benchbox.errors import BenchboxError
from benchbox.runs.code import code_digest
from benchbox.runs.plugins import plugin_module
from benchbox.runs.registry import load_registry
from benchbox.runs.user_code import closure_of

GUARD = """
from dataclasses import dataclass
from pathlib import Path
from torch import Tensor
import numpy as np
from {helper} import shift
from defenses import Defense, Vanilla

TABLE = np.load(Path(__file__).with_name("table.npy"))

@dataclass(frozen=True)
class Shift:
    by: float = 0.1

    def __call__(self, images: Tensor) -> Tensor:
        from {late} import scale
        return shift(images, self.by) * scale

ROW = Defense(name="{name}", title="Row", recipe=Vanilla(), guard=Shift(), source="test")
"""


@pytest.fixture
def plugin(tmp_path, request):
    """A plugin with a helper beside it, a package below it, and a table that it reads."""
    import numpy as np

    tag = f"h{abs(hash(request.node.name)) % 10**8}"
    path, folder, modules = list(sys.path), tmp_path / "mine", set(sys.modules)
    (folder / f"{tag}pkg").mkdir(parents=True)
    (folder / "row.py").write_text(
        GUARD.format(helper=f"{tag}helper", late=f"{tag}pkg.late", name=tag)
    )
    (folder / f"{tag}helper.py").write_text(
        f"from {tag}pkg import amount\n\ndef shift(images, by):\n    return images + by * amount\n"
    )
    (folder / f"{tag}pkg" / "__init__.py").write_text("from .deep import amount\n")
    (folder / f"{tag}pkg" / "deep.py").write_text("amount = 1.0\n")
    (folder / f"{tag}pkg" / "late.py").write_text("scale = 1.0\n")
    np.save(folder / "table.npy", np.zeros(3))
    yield folder, tag
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def digest(folder):
    return code_digest([plugin_module(folder / "row.py").__name__])


@pytest.mark.parametrize(
    "edited",
    ["{tag}helper.py", "{tag}pkg/__init__.py", "{tag}pkg/deep.py", "{tag}pkg/late.py", "row.py"],
)
def test_an_edit_of_any_file_it_imports_is_another_code_version(plugin, edited):
    folder, tag = plugin
    before = digest(folder)
    file = folder / edited.format(tag=tag)
    file.write_text(file.read_text() + "\nnew = 2\n")
    assert digest(folder) != before


def test_a_comment_is_not(plugin):
    folder, tag = plugin
    before = digest(folder)
    file = folder / f"{tag}helper.py"
    file.write_text("# said better\n" + file.read_text())
    assert digest(folder) == before


def test_a_data_file_that_it_reads_is_part_of_it(plugin):
    import numpy as np

    folder, _ = plugin
    before = digest(folder)
    np.save(folder / "table.npy", np.ones(3))
    assert digest(folder) != before


def test_an_edited_helper_is_run_anew_in_the_same_process(plugin):
    import torch

    folder, tag = plugin
    images = torch.zeros(1, 3, 2, 2)
    assert float(plugin_module(folder / "row.py").ROW.guard(images).max()) == pytest.approx(0.1)
    (folder / f"{tag}pkg" / "deep.py").write_text("amount = 3.0\n")
    assert float(plugin_module(folder / "row.py").ROW.guard(images).max()) == pytest.approx(0.3)


def test_the_same_files_elsewhere_are_the_same_code(plugin, tmp_path):
    folder, tag = plugin
    before = digest(folder)
    for name in [n for n in sys.modules if tag in n]:
        del sys.modules[name]
    sys.path.remove(str(folder.resolve()))
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert digest(moved) == before


def test_installed_packages_count_by_their_version(plugin, monkeypatch):
    folder, _ = plugin
    before = digest(folder)
    real = sys.modules["benchbox.runs.user_code"].version

    def newer(name):
        return "99.0" if name == "numpy" else real(name)

    monkeypatch.setattr("benchbox.runs.user_code.version", newer)
    assert digest(folder) != before


@pytest.mark.parametrize("where", ["site-packages", "dist-packages"])
def test_packages_of_the_system_or_the_user_are_installed_too(tmp_path, monkeypatch, where):
    """Such as ``~/.local``, which a virtual environment may see: none is a file of the user's."""
    package = tmp_path / "lib" / where / "elsewhere_installed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import json\n")
    monkeypatch.syspath_prepend(package.parent)
    (tmp_path / "row.py").write_text("import elsewhere_installed\n")
    assert closure_of(tmp_path / "row.py").files == {(tmp_path / "row.py").resolve()}


def test_the_closure_is_what_python_itself_loads(plugin):
    """Oracle: the files of the modules that importing the plugin adds to sys.modules."""
    folder, tag = plugin
    module = plugin_module(folder / "row.py")
    module.ROW.guard(__import__("torch").zeros(1, 3, 2, 2))  # imports the late one
    loaded = {
        getattr(m, "__file__", None)
        for m in sys.modules.values()
        if tag in getattr(m, "__name__", "")
    }
    expected = {*loaded, str((folder / "row.py").resolve())}
    assert {str(file) for file in closure_of(folder / "row.py").files} == expected


def test_two_plugins_of_one_stem_stand_side_by_side(tmp_path):
    for place, name in (("a", "one"), ("b", "two")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text(
            textwrap.dedent(f"""
            from defenses import Defense, Vanilla
            ROW = Defense(name="{name}", title="{name}", recipe=Vanilla(), source="test")
            """)
        )
    registry = load_registry([tmp_path / "a" / "mine.py", tmp_path / "b" / "mine.py"])
    assert {"one", "two"} <= set(registry.defenses)


def test_a_neighbour_hidden_by_another_is_refused(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "sharedname.py").write_text(f"value = {place!r}\n")
        (tmp_path / place / f"row_{place}.py").write_text(
            "import sharedname\nfrom defenses import Defense, Vanilla\n"
            f'ROW = Defense(name="n{place}", title="t", recipe=Vanilla(), source="s")\n'
        )
    with pytest.raises(BenchboxError, match="imports sharedname, of which Python has another"):
        load_registry([tmp_path / "a" / "row_a.py", tmp_path / "b" / "row_b.py"])


def test_a_plugin_may_add_a_backbone_alone(tmp_path):
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
        import torch
        from timm.models import register_model

        @register_model
        def a_backbone_of_mine(pretrained=False, **options):
            return torch.nn.Identity()
        """)
    )
    load_registry([tmp_path / "net.py"])
