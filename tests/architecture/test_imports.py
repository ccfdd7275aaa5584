"""Who may import whom: rooms only look up, and each service has one owner."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
ROOMS = (
    "images", "backbones", "detectors", "metrics", "selection", "threshold", "inspection", "monitoring", "planning", "registry", "serving", "edge", "reports", "review", "stages", "ablation",
)  # fmt: skip
BASE = {"cluster", "cluster_backend", "errors", "files", "fits", "image_size", "lines", "memory", "parallel", "schemas", "tables", "params", "stage_params", "sections", "detector_params", "workspace", "quality"}  # below every room
HEAVY = {"torch", "torchvision", "sklearn", "pandas", "numpy", "timm", "cv2"}


def modules(*folders):
    """Return every Python file below the folders."""
    return sorted(path for folder in folders for path in (SOURCE / folder).rglob("*.py"))


def imports(path):
    """Return the dotted names a file imports, inside functions too, but not those for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {id(child) for statement in node.body for child in ast.walk(statement)}
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops(path):
    """Return the packages a file imports."""
    return {name.split(".")[0] for name in imports(path)}


def room(path):
    """Return the room a file of the library lies in, or the name of a module beside the rooms."""
    return path.relative_to(SOURCE / "src/zeromiss").parts[0].removesuffix(".py")


IN_ORDER = [path for path in modules("src/zeromiss") if room(path) not in ("cli", "__init__") and not room(path).startswith("commands")]  # the command line calls any


@pytest.mark.parametrize("path", IN_ORDER, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_above_it(path):
    mine = room(path)
    allowed = BASE | {mine} | (set(ROOMS[: ROOMS.index(mine)]) if mine in ROOMS else set())
    if mine == "registry":  # the contract of a stage, not a stage: the runner imports those by name
        allowed |= {"stages"}
        assert {n for n in imports(path) if n.startswith("zeromiss.stages.") and not n.startswith("zeromiss.stages.base")} == set()
    if mine == "stages":
        allowed -= {"registry"}
    found = {name.split(".")[1] for name in imports(path) if name.startswith("zeromiss.")}
    assert found - allowed == set(), f"{path} imports {sorted(found - allowed)}, which lie below {mine}"


@pytest.mark.parametrize("path", modules("src", "flows", "tasks"), ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_service_has_one_owner(path):
    folder, found = path.relative_to(SOURCE).parts[0], tops(path)
    here = room(path) if folder == "src" else folder
    for service, owners in (("mlflow", {"registry"}), ("prefect", {"flows", "tasks"}), ("dvc", {"tasks"})):
        assert service not in found or here in owners, f"{path} imports {service}"
    if folder != "src":
        assert found & HEAVY == set(), f"{path} imports {sorted(found & HEAVY)}"


@pytest.mark.parametrize("path", modules("flows", "tasks"), ids=lambda path: str(path.relative_to(SOURCE)))
def test_flows_and_tasks_open_the_library_only_when_they_run(path):
    """So that a worker that only hands out work imports no network, and the command line answers at once."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    light = {"zeromiss.errors"}
    assert {name for name in at_once if name and name.startswith("zeromiss")} <= light


@pytest.mark.parametrize("path", modules("src", "flows", "tasks"), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_reads_a_pickle(path):
    assert tops(path) & {"pickle", "cloudpickle", "joblib.externals", "dill", "shelve"} == set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {"torch.save", "joblib.load", "joblib.dump"}, f"{path}: {called}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":  # weights a user gives by path
            assert "weights_only=True" in ast.unparse(node), f"{path}: torch.load without weights_only=True"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False, f"{path}: allow_pickle"
