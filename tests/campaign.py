"""How long tests that search for faults run: a fixed sample, or a campaign with a seed.

``make test`` runs the sample, the same one every time. ``make campaign`` runs the tests marked
``campaign`` at full length and prints the seed that repeats the run.
"""

from __future__ import annotations

import os

from hypothesis import settings

VARIABLE = "FIRN_TEST_CAMPAIGN"
"""Holds the seed of a campaign; unset for the sample."""

LONG = bool(os.environ.get(VARIABLE))
SEED = int(os.environ.get(VARIABLE) or 20_261_121)


def size(sample: int, campaign: int) -> int:
    """How many cases to try."""
    return campaign if LONG else sample


def examples(sample: int, campaign: int) -> settings:
    """The settings of a Hypothesis test. The sample is the same in every run."""
    return settings(
        max_examples=size(sample, campaign),
        deadline=None,
        derandomize=not LONG,
        database=None,
        print_blob=True,
    )
