"""Every parameter is read by some code: an option that nothing reads is a lie in params.yaml."""

import ast
import functools

import pytest

from zeromiss import detector_params, params, stage_params


@functools.cache
def attributes_read(repository):
    """Names of all attributes that code outside the parameters reads."""
    names = set()
    for folder in ("src", "flows", "tasks"):
        for path in (repository / folder).rglob("*.py"):
            if path.name not in ("params.py", "stage_params.py", "detector_params.py"):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (model.__name__, key)
        for model in sorted({one for module in (params, stage_params, detector_params) for one in vars(module).values() if isinstance(one, type)}, key=lambda one: one.__name__)
        if issubclass(model, params.Section)
        for key in model.model_fields
    ],
)
def test_every_key_is_read(repository, section, key):
    assert key in attributes_read(repository), f"nothing reads {section}.{key}"


def test_every_section_is_a_key_of_every_product_and_profile(repository):
    tree = params.read_params(repository / "params.yaml")
    for group in ("products", "profiles"):
        for name, entry in tree[group].items():
            listed = entry.get("detectors", []) if group == "products" else {name for one in tree["products"].values() for name in one["detectors"]}
            missing = [section for section in (*params.SECTIONS, *sorted(listed)) if section not in entry]
            assert missing == [], f"{group}.{name} lacks {missing}: DVC tracks each section by its name"
