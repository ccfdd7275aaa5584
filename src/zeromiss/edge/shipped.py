"""Which modules an exported folder needs: the runtime and all of the project that it imports, found by reading, not by running."""

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]  # the folder that holds the package
# What is run, and what a classifier's file names: those classes are looked up when it is read.
ROOTS = (
    "zeromiss.edge.runtime", "zeromiss.selection.preprocess", "zeromiss.selection.residuals",
    "zeromiss.selection.nonnegative", "zeromiss.selection.vote", "zeromiss.selection.wmw",
)  # fmt: skip


def modules() -> dict[str, Path]:
    """Return the files, by their path inside the folder, of every module that inspecting needs."""
    found: dict[str, Path] = {}
    waiting = list(ROOTS)
    while waiting:
        path = _file(waiting.pop())
        if path is None or path.relative_to(SOURCE).as_posix() in found:
            continue
        found[path.relative_to(SOURCE).as_posix()] = path
        waiting += imported(path)
    packages = {parent / "__init__.py" for path in found.values() for parent in path.parents if parent.is_relative_to(SOURCE / "zeromiss")}
    return dict(sorted((found | {path.relative_to(SOURCE).as_posix(): path for path in packages}).items()))


def imported(path: Path) -> list[str]:
    """Return the dotted names that a file imports, of modules or of what lies in them."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _file(name: str) -> Path | None:
    """Return the file of a module of this project, None for anything else."""
    if name.split(".")[0] != "zeromiss":
        return None
    path = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None
