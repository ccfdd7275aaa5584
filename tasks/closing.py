"""The last words of a run."""

from pathlib import Path
from typing import Any


def closing_words(product: str, root: str, *, record: str, page: str | None, inspected: dict[str, Any] | None) -> str:
    """Return the text that ends a run: families, threshold, promotion, inspection, and where to read on."""
    from tasks.registry import read_gate
    from tasks.tracking import page_command
    from zeromiss import schemas
    from zeromiss.files import read_json
    from zeromiss.images.shortcuts import SCHEMA_VERSION as SHORTCUTS
    from zeromiss.inspection.bundle import SCHEMA_VERSION as BUNDLE
    from zeromiss.inspection.summary import SCHEMA_VERSION
    from zeromiss.reports.terminal import render
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    bundle, shortcuts = workspace.bundle(product), workspace.manifest(product) / "shortcuts.json"
    return render(
        summary=read_json(bundle / "summary.json", schema_version=SCHEMA_VERSION),
        families=read_json(workspace.selection(product) / "families.json", schema_version=schemas.SELECTION),
        statement=read_json(bundle / "bundle.json", schema_version=BUNDLE)["threshold"]["statement"],
        shortcuts=read_json(shortcuts, schema_version=SHORTCUTS) if shortcuts.is_file() else None,
        promotion=read_gate(record),
        inspected=inspected,
        report=page,
        tracking=page_command(root),
    )
