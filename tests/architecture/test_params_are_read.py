"""Every parameter is read by some code: an option that nothing reads is a lie in params.yaml."""

import ast
import functools

import pytest

from zeromiss import params


@functools.cache
def attributes_read(repository):
    """Names of all attributes that code outside params.py reads."""
    names = set()
    for folder in ("src", "flows", "tasks"):
        for path in (repository / folder).rglob("*.py"):
            if path.name != "params.py":
                tree = ast.parse(path.read_text(encoding="utf-8"))
                names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (model.__name__, key)
        for model in vars(params).values()
        if isinstance(model, type) and issubclass(model, params.Section)
        for key in model.model_fields
    ],
)
def test_every_key_is_read(repository, section, key):
    assert key in attributes_read(repository), f"nothing reads {section}.{key}"


def test_every_section_is_a_key_of_every_product_and_profile(repository):
    tree = params.read_params(repository / "params.yaml")
    for group in ("products", "profiles"):
        for name, entry in tree[group].items():
            missing = [section for section in params.SECTIONS if section not in entry]
            assert missing == [], f"{group}.{name} lacks {missing}: DVC tracks each section by its name"
