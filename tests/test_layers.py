import ast
import subprocess
import sys
from pathlib import Path

import pytest

import btunet

SOURCE = Path(btunet.__file__).parent
LAYERS = (
    {
        "errors",
        "device",
        "ranks",
        "health",
        "budget",
        "reliability",
        "task",
        "settings",
        "recipes",
        "replace",
        "claims",
    },
    {
        "images",
        "reading",
        "nifti",
        "omezarr",
        "pyramid",
        "workers",
        "weights",
        "targets",
        "layouts",
        "values",
        "datasets",
        "annotator",
        "writing",
        "normalise",
        "networks",
        "barlow",
        "views",
        "twins",
        "colours",
        "filters",
        "sweep",
        "patches",
        "windows",
        "labels",
        "folds",
        "honest",
        "journal",
        "records",
        "losses",
        "metrics",
        "messages",
    },
    {
        "learner",
        "twin_learner",
        "ancestry",
        "heldout",
        "comparison",
        "crossfit",
        "contradictions",
        "spots",
        "instant",
        "featuremaps",
        "guide",
        "measures",
        "model",
        "parts",
        "objects",
        "checkpoint",
        "memory",
        "optimise",
        "process",
        "project",
        "tiles",
        "pictures",
        "transfer",
        "unfinished",
        "verdict",
        "verdict_picture",
    },
    {
        "pretraining",
        "previewing",
        "finetuning",
        "answering",
        "classifying",
        "prediction",
        "streaming",
        "evaluation",
        "elsewhere",
    },
    {"studies", "jobs", "inventory", "trials"},
    {"cli", "__init__", "__main__"},
)
TASKS = LAYERS[3]
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
FILES = sorted(SOURCE.rglob("*.py"))


def module_of(file: Path) -> str:
    """Return the module of btunet a file belongs to; a folder is one module."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(file: Path) -> list[str]:
    """Return full names of all that a file imports, anywhere in it."""
    package = ("btunet", *file.relative_to(SOURCE).parent.parts)
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            if name == "btunet":  # from . import device
                found += [f"btunet.{alias.name}" for alias in node.names]
            else:
                found.append(name)
    return found


def inner_imports(file: Path) -> set[str]:
    """Return the modules of btunet a file imports."""
    names = (name.split(".") for name in imports_of(file))
    return {parts[1] for parts in names if parts[0] == "btunet" and len(parts) > 1} - {module_of(file)}


def test_every_module_has_a_layer() -> None:
    assert {module_of(file) for file in FILES} == set(LEVEL)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_down_or_sideways(file: Path) -> None:
    here = LEVEL[module_of(file)]
    wrong = {name for name in inner_imports(file) if LEVEL.get(name, -1) > here}
    assert not wrong, f"{module_of(file)} (layer {here}) imports from above: {wrong}"


@pytest.mark.parametrize("task", sorted(TASKS))
def test_tasks_do_not_know_each_other(task: str) -> None:
    assert not inner_imports(SOURCE / f"{task}.py") & TASKS


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_the_engine_knows_no_window(file: Path) -> None:
    forbidden = {"napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide6", "npe2", "napari_btunet", "vispy"}
    assert not {name.split(".")[0] for name in imports_of(file)} & forbidden


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_only_the_command_line_prints(file: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    printed = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not printed or module_of(file) == "cli"


def test_importing_btunet_and_what_a_window_needs_loads_no_torch() -> None:
    code = (
        "import sys, btunet; btunet.Model, btunet.in_child, btunet.read, btunet.write, btunet.PretrainSettings;"
        "loaded = sorted({'torch', 'napari', 'qtpy', 'magicgui'} & set(sys.modules)); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_no_other() -> None:
    assert list(btunet.__all__) == sorted(btunet.__all__)
    for name in btunet.__all__:
        assert getattr(btunet, name) is not None
    with pytest.raises(AttributeError, match="module 'btunet' has no attribute 'nothing'"):
        btunet.nothing  # noqa: B018
