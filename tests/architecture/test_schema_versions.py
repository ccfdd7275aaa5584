"""A schema version is written once: a reader that keeps a number of its own goes on refusing a file whose writer went ahead."""

import ast
from pathlib import Path

ROOMS = ("src", "tasks", "flows", "benchmarks")
OF_FILES = {"read_json", "read_table", "write_json", "write_table"}


def numbers(source: str) -> list[int]:
    """Return the lines on which a file is read or written with a number for its schema version, or a second constant holds one."""
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in OF_FILES:
            found += [node.lineno for one in node.keywords if one.arg == "schema_version" and isinstance(one.value, ast.Constant)]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            ints = any(isinstance(one, ast.Constant) and type(one.value) is int for one in ast.walk(node.value))
            found += [node.lineno for name in names if ints and name != "SCHEMA_VERSION" and name.strip("_").endswith(("_VERSION", "_SCHEMA"))]
    return sorted(found)


def test_no_reader_has_a_number_of_its_own(repository: Path):
    files = [path for room in ROOMS for path in (repository / room).rglob("*.py")]
    assert len(files) > 300
    assert {str(path.relative_to(repository)): found for path in files if (found := numbers(path.read_text()))} == {}


def test_what_is_found():
    assert numbers("REPORT_FILE, REPORT_VERSION = 'report.json', 3\nfound = read_json(path, schema_version=3)") == [1, 2]
    assert numbers("FILE, SCHEMA_VERSION = 'report.json', 3\nfound = files.read_json(path, schema_version=SCHEMA_VERSION)") == []
