"""dvc.yaml against the code: DVC does not see imports, so each stage's dependencies are computed here."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from zeromiss import params
from zeromiss.detector_params import DETECTORS
from zeromiss.stages.base import STAGES
from zeromiss.workspace import Workspace

SOURCE = Path(__file__).resolve().parents[2]
LIBRARY = SOURCE / "src"
SHARED = tuple(LIBRARY / f"zeromiss/stages/{part}.py" for part in ("fitting", "teaching"))  # do the work of detectors' stages
ONE_FILE, ALIGN = "/manifest.parquet", "/align"  # of the folder that the manifest stage writes
PIPELINE = YAML(typ="safe").load((SOURCE / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def stage(name):
    """Return what dvc.yaml says of one stage."""
    return PIPELINE[name]["do"]


def file_of(dotted):
    """Return the file of a module of the library, None for anything else."""
    path = LIBRARY / Path(*dotted.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path):
    """Return the library's files that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {file for name in names if name.startswith("zeromiss") and (file := file_of(name))}


def closure(path):
    """Return a file and all files of the library it needs, directly or not."""
    seen, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imported(file)
    return seen


def files_of(name):
    """Return a stage's file, and what it needs of the shared ones."""
    own = LIBRARY / f"zeromiss/stages/{name}.py"
    needed = closure(own)
    return [own, *(path for path in SHARED if path in needed)]


def source_of(name):
    """Return the source of a stage's files."""
    return "".join(path.read_text(encoding="utf-8") for path in files_of(name))


def says_nothing(path):
    """Whether a package's file holds no more than a docstring: a change of it changes no result."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)


def code_deps(name):
    """Return a stage's dependencies that are code."""
    return [SOURCE / dep for dep in stage(name)["deps"] if dep.startswith("src/")]


def test_the_stages_are_those_the_library_names():
    assert tuple(PIPELINE) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_deps_cover_the_import_closure(name):
    needed = {path for path in closure(LIBRARY / f"zeromiss/stages/{name}.py") if not says_nothing(path)}
    deps = code_deps(name)
    missing = sorted(str(path.relative_to(SOURCE)) for path in needed if not any(dep == path or dep in path.parents for dep in deps))
    assert missing == [], f"dvc.yaml: stage {name} does not depend on {missing}"


@pytest.mark.parametrize("name", STAGES)
def test_deps_name_nothing_that_is_not_needed(name):
    needed = closure(LIBRARY / f"zeromiss/stages/{name}.py")
    idle = [dep.relative_to(SOURCE) for dep in code_deps(name) if not any(dep == path or dep in path.parents for path in needed)]
    assert idle == [], f"dvc.yaml: stage {name} runs again for changes in {idle}, which it does not use"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_bears_one_name_everywhere(name):
    found = stage(name)
    assert PIPELINE[name]["foreach"] == (f"${{fits.{name}}}" if name in DETECTORS else "${products}")
    assert found["cmd"] == f"zeromiss stage {name} --product ${{key}}"
    assert found["meta"]["worker"] == ("gpu" if name in DETECTORS else "cpu")
    assert found["desc"]
    assert f"data/11_runs/${{key}}/{name}.json" in found["outs"]
    assert not any(isinstance(out, dict) for out in found["outs"]), "no out is persisted or left out of the cache"


@pytest.mark.parametrize("name", STAGES)
def test_data_deps_are_outputs_of_earlier_stages(name):
    earlier = {out for other in STAGES[: STAGES.index(name)] for out in stage(other)["outs"]} | {"data/01_raw/${key}", "data/01_labels/${key}.csv"}
    earlier |= {str(Path(out).parent) for out in earlier}  # the folder of all detectors
    data = {dep for dep in stage(name)["deps"] if dep.startswith("data/")}
    assert {dep.removesuffix(ONE_FILE).removesuffix(ALIGN) for dep in data} <= earlier
    assert data


@pytest.mark.parametrize("name", STAGES)
def test_data_deps_are_the_folders_the_stage_opens(name):
    workspace = Workspace(root=Path("/"))
    source = source_of(name)
    opened = set(re.findall(r"workspace\.(raw|labels|manifest|alignment|metrics|selection|threshold|bundle|report)\(", source))
    paths = {str(getattr(workspace, folder)("${key}"))[1:] for folder in opened}
    if "workspace.detector(" in source:  # a detector's stage opens its own folder, which is its output; the others that of all
        paths.add(str(workspace.detector("${key}", name if name in DETECTORS else "."))[1:])
    data = {dep.removesuffix(ONE_FILE) for dep in stage(name)["deps"] if dep.startswith("data/")}
    assert {path for path in paths if path.removesuffix(ALIGN) not in stage(name)["outs"]} == data


@pytest.mark.parametrize("name", [*(name for name in STAGES if name in DETECTORS), "metrics", "bundle"])
def test_what_shortcuts_are_called_trains_nothing_anew(name):
    """These stages depend on the manifest alone, not on what the manifest stage found out about shortcuts: they may open no more."""
    assert f"data/02_manifest/${{key}}{ONE_FILE}" in stage(name)["deps"]
    source = source_of(name)
    whole = re.findall(r"workspace\.manifest\([a-z.]+\)(?! / manifests\.FILE)", source)
    assert "workspace.manifest(" in source and whole == []


def sections_read(name):
    """Return the attributes of `product` that a stage's files read, and whether they use the product as a whole."""
    read = {
        node.attr
        for node in ast.walk(ast.parse(source_of(name)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "product"
    }
    return read & ({*params.Product.model_fields} - {"name"}), "model_dump" in read


@pytest.mark.parametrize("name", STAGES)
def test_params_cover_what_the_stage_reads(name):
    read, whole = sections_read(name)
    declared = set(stage(name)["params"])
    if "products.${key}" in declared:
        assert "profiles.${item.profile}" in declared
        return
    assert not whole, f"dvc.yaml: stage {name} reads the whole product"
    for section in read:
        assert f"products.${{key}}.{section}" in declared, f"dvc.yaml: stage {name} reads {section}"
        if section in (*params.SECTIONS, *DETECTORS) or section == "size":
            assert f"profiles.${{item.profile}}.{section}" in declared, f"dvc.yaml: stage {name} reads the profile's {section}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reads_what_its_params_declare(name):
    declared = {key.split(".")[-1] for key in stage(name)["params"] if key.startswith("products.${key}.")}
    read, _ = sections_read(name)
    assert declared - read == set(), f"dvc.yaml: stage {name} runs again for parameters it does not read"
