"""How a registered model is named: `PRODUCT`, `PRODUCT@ALIAS` or `PRODUCT/VERSION`."""

import re
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, versions
from zeromiss.registry.store import model_name, reading
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FORM = re.compile(r"(?P<product>[a-z][a-z0-9_]{0,40})(?:@(?P<alias>[\w.-]+)|/(?P<version>[1-9][0-9]*))?")


def resolve(reference: str, workspace: Workspace) -> tuple[str, str]:
    """Return product and version that a reference names.

    A product alone names its champion, before there is one its challenger. Nothing is created: where there is no
    store yet that is the sentence. Raises ZeromissError for a reference of another form, a product without
    registered models, and an alias or version that does not exist.
    """
    found = _FORM.fullmatch(reference)
    if found is None:
        raise ZeromissError(f"{reference!r} names no model: write PRODUCT, PRODUCT@ALIAS or PRODUCT/VERSION, e.g. solar_cell/3")
    product = found["product"]
    client = reading(workspace)
    known = [str(version.version) for version in reversed(versions(client, product))]
    if not known:
        raise ZeromissError(f"no model of {product} is registered: {_registered(client)}; train one with zeromiss run {product}")
    if found["version"] is not None:
        return product, _version(product, found["version"], known)
    return product, _alias(client, product, found["alias"], known)


def _version(product: str, version: str, known: list[str]) -> str:
    """Return the version if there is one of that number."""
    if version not in known:
        raise ZeromissError(f"{model_name(product)} has no version {version}: it has {_listed(known)}")
    return version


def _alias(client: "MlflowClient", product: str, alias: str | None, known: list[str]) -> str:
    """Return the version that bears the alias, without one the model that judges."""
    for name in (alias,) if alias is not None else (CHAMPION, CHALLENGER):
        version = find_alias(client, product, name)
        if version is not None:
            return version
    called = f"alias {alias}" if alias is not None else f"{CHAMPION} or {CHALLENGER}"
    raise ZeromissError(f"{model_name(product)} has no {called}: name a version, it has {_listed(known)} (e.g. {product}/{known[-1]})")


def _listed(known: list[str]) -> str:
    """Return the versions in words, the first ones and the last where there are many."""
    if len(known) > 8:
        known = [*known[:3], "...", known[-1]]
    return f"version {known[0]}" if len(known) == 1 else f"versions {', '.join(known)}"


def _registered(client: "MlflowClient") -> str:
    """Return which products have models."""
    prefix = model_name("")
    names = sorted(model.name.removeprefix(prefix) for model in client.search_registered_models() if model.name.startswith(prefix))
    return f"there are models of {', '.join(names)}" if names else "there is no model at all"
