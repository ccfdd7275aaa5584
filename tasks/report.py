"""The report's page, made once the gate has spoken."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def render_report(product: str, root: str) -> str | None:
    """Write the product's page, put it among the artifacts of its version's run, and return its path.

    The page is about the bundle that the report stage saw, whichever version the gate was asked about. None where that
    stage has not run on this machine. Raises ZeromissError when the stage's files or the gate's record are broken.
    """
    from zeromiss.registry.attach import attach_page, standing
    from zeromiss.reports.facts import FILE, read_facts
    from zeromiss.reports.page import write_page
    from zeromiss.reports.systems import FILE as COMPARED
    from zeromiss.reports.systems import read_content
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    folder, page = workspace.report(product), workspace.page(product)
    if not (folder / FILE).is_file():
        return None
    facts = read_facts(folder)
    known = standing(product, workspace, facts.bundle)
    compared = workspace.compare(product)
    write_page(page, facts, folder, known, read_content(compared) if (compared / COMPARED).is_file() else None)
    if known.version is not None:
        attach_page(product, workspace, page, version=known.version)
    return str(page)
