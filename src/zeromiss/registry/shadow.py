"""Shadow mode in use: the registered challenger judges what the champion has judged."""

from collections.abc import Sequence

from zeromiss.errors import ZeromissError
from zeromiss.inspection.companions import CompanionOf
from zeromiss.inspection.shadow import judge_shadow
from zeromiss.inspection.verdict import Verdict
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, load_inspector
from zeromiss.registry.store import prepare
from zeromiss.workspace import Workspace


def cast_shadow(product: str, workspace: Workspace, judged: Sequence[Verdict], *, companion_of: CompanionOf = lambda _: None) -> str | None:
    """Let the challenger judge the images of the champion's verdicts and return how they compare in a sentence.

    None where there is no other challenger, or nothing was judged by the champion. What the challenger cannot do never
    harms an inspection: a model that cannot be loaded is told in the sentence.
    """
    client = prepare(workspace)
    champion, challenger = (find_alias(client, product, alias) for alias in (CHAMPION, CHALLENGER))
    live = [one for one in judged if one.model.version == champion]
    if challenger is None or challenger == champion or not live:
        return None
    try:
        counted = judge_shadow(workspace.shadow(product), live, load_inspector(product, workspace, version=challenger), companion_of=companion_of)
    except ZeromissError as error:
        return f"the challenger, version {challenger}, could not judge in the champion's shadow: {error}"
    return counted.sentence()
