"""An audit set that is used again and again: how often are bounds wrong when each model is chosen by the answers before?

Defects lie evenly on [0, 1) and a model misses those of some stretches, so that its true miss rate is their length. Who
picks the models knows only whether the last one was promoted or refused, and uses it: a stretch on which a promoted model
missed nothing holds no audit defect, and may be missed by all later models unseen.
"""

import numpy as np
import pytest

from zeromiss.registry.wear import error_parts
from zeromiss.threshold.bounds import clopper_pearson_upper

RESAMPLES, DEFECTS, LOOKS, ERROR = 4000, 40, 10, 0.05


def bounds(parts):
    """Return the stated bound, (looks, missed + 1), of the look-th model after `missed` misses, when it takes 1/parts(look) of the error."""
    return np.array(
        [
            [clopper_pearson_upper(missed, DEFECTS, confidence=1 - ERROR, n_candidates=parts(look)) for missed in range(DEFECTS + 1)]
            for look in range(1, LOOKS + 1)
        ]
    )


def wrong_statements(parts, *, stretch, reach):
    """Return (resamples, looks): whether the bound stated at each look lies below that model's true miss rate.

    The chooser tries stretches of length `stretch` and keeps those that pass; once what is kept lies at most `reach` below
    the bound, or at the last look, the next model misses just more than the bound would say.
    """
    audit_RD = np.random.default_rng(1).random((RESAMPLES, DEFECTS))
    stated_LM = bounds(parts)
    kept_R, tried_R = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    wrong_RL = np.zeros((RESAMPLES, LOOKS), dtype=bool)
    for look in range(LOOKS):
        gap_R = stated_LM[look, 0] - kept_R + 1e-9
        strikes_R = (gap_R <= reach) | (look == LOOKS - 1)
        length_R = np.where(strikes_R, np.maximum(gap_R, 1e-6), stretch)
        missed_R = ((audit_RD >= tried_R[:, None]) & (audit_RD < (tried_R + length_R)[:, None])).sum(axis=1)
        wrong_RL[:, look] = kept_R + length_R > stated_LM[look, missed_R]
        kept_R += np.where(missed_R == 0, length_R, 0.0)
        tried_R += length_R
    return wrong_RL


CHOOSERS = [{"stretch": stretch, "reach": reach} for stretch in (0.005, 0.0125, 0.025, 0.05) for reach in (0.0, 0.02, 0.06)]
SPREAD = 3 * np.sqrt(ERROR * (1 - ERROR) / RESAMPLES)


@pytest.mark.parametrize("chooser", CHOOSERS)
def test_the_bounds_hold_for_models_chosen_by_the_answers_before(chooser):
    wrong_RL = wrong_statements(error_parts, **chooser)
    assert wrong_RL.mean(axis=0).max() <= ERROR + SPREAD  # every statement for itself
    assert wrong_RL[:, 1:].any(axis=1).mean() <= ERROR + SPREAD  # all from the second on together
    assert wrong_RL.any(axis=1).mean() <= 2 * ERROR + SPREAD  # with the first, which states the bound of a lone one


@pytest.mark.parametrize(
    "parts",
    [lambda look: 1, lambda look: look, lambda look: look * (look + 1)],
    ids=["uncorrected", "shared among the models so far", "spent as for models that no answer chose"],
)
def test_weaker_corrections_are_seen_to_fail(parts):
    worst = max(wrong_statements(parts, **chooser)[:, 1:].any(axis=1).mean() for chooser in CHOOSERS)
    assert worst > ERROR + SPREAD


def test_the_first_statement_is_wrong_as_often_as_it_may_be():
    """A model that misses just more than the bound says is promoted with probability 5 %: no other bound could be lower."""
    wrong_RL = wrong_statements(error_parts, stretch=0.0125, reach=1.0)
    assert wrong_RL[:, 0].mean() == pytest.approx(ERROR, abs=SPREAD)
