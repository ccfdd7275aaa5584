"""How much an audit set is still worth after models were judged on it: which of its defects bear a bound, at what price.

A bound stated for the model at look k must hold although that model was chosen after k - 1 answers. The answers
promoted or refused make 2^(k-1) histories, each of which may lead to another model, and an error shared among them
all is safe whichever came to pass. docs/guarantees.md gives the whole argument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeromiss.registry.verdict import AuditVerdict
from zeromiss.threshold.bounds import miss_rate_bound

Seen = Mapping[str, frozenset[str]]  # path of an audit image -> the other models that were judged on it before


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The defects of the audit set that a bound counts, and the look at which it counts them."""

    parts: frozenset[str]
    look: int  # different models judged on any of these parts, the present one included


def error_parts(look: int) -> int:
    """Return into how many equal parts the allowed error is cut at the `look`-th (>= 1) different model: the bound gets one.

    1 at the first; 2^(look - 1) look (look - 1) from then on. Over all histories, the statements from the second on
    then take 1/2 + 1/6 + 1/12 + ... = 1 allowed error together.
    """
    return 1 if look == 1 else 2 ** (look - 1) * look * (look - 1)


def find_evidence(defects: Sequence[AuditVerdict], seen: Seen, *, confidence: float, audit_uses: int, fewest: int) -> Evidence | None:
    """Return the defects that give the lowest bound if none is missed, None where the audit set is worn out.

    Considered are the parts that at most 0, 1, 2, ... other models were judged on: those added since an opening are few
    but fresh. Scores play no part in the choice, so that the bound stays valid. Worn out: no such group of at least
    `fewest` parts (or of all, where the set holds fewer) was shown to at most `audit_uses` different models.
    """
    shown: dict[str, frozenset[str]] = {}
    for verdict in defects:
        shown[verdict.part] = shown.get(verdict.part, frozenset()) | seen.get(verdict.path, frozenset())
    found = []
    for most in sorted({len(models) for models in shown.values()}):
        parts = frozenset(part for part, models in shown.items() if len(models) <= most)
        look = 1 + len(frozenset().union(*(shown[part] for part in parts)))
        if look <= audit_uses and len(parts) >= min(fewest, len(shown)):
            bound = miss_rate_bound(len(parts), confidence=confidence, n_candidates=error_parts(look))
            found.append((bound, look, Evidence(parts=parts, look=look)))
    return min(found, key=lambda one: one[:2])[2] if found else None
