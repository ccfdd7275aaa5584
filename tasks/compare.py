"""What a comparison found, read for the terminal."""

from pathlib import Path
from typing import Any


def compared(product: str, root: str) -> str:
    """Return the path of a comparison's page."""
    from zeromiss.workspace import Workspace

    return str(Workspace(root=Path(root)).compare_page(product))


def read_comparison(product: str, root: str) -> tuple[dict[str, Any], str]:
    """Return a comparison's content and its text for the terminal; raises ZeromissError when there is none."""
    from zeromiss.reports.systems import read_content
    from zeromiss.reports.systems_text import render
    from zeromiss.workspace import Workspace

    content = read_content(Workspace(root=Path(root)).compare(product))
    return content, render(content)


def layout_text(layout: str, root: str) -> str:
    """Return the comparisons of all products in the layout of a paper's table, above the published figures."""
    from zeromiss.params import read_params
    from zeromiss.reports.systems import FILE, read_content
    from zeromiss.reports.systems_layouts import render_layout
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    folders = [workspace.compare(name) for name in read_params(workspace.params_file)["products"]]
    return render_layout(layout, [read_content(folder) for folder in folders if (folder / FILE).is_file()])
