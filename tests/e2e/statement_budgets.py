"""How many statements a run of each DAG may send to the warehouse.

On an account each of them takes time, and most of them credits. Raise a number only when what is
new is worth it, and say so where it is described.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Statements of one run, those that fail included.

    Attributes:
        first: of a DAG's first run, which also makes what is missing.
        again: of a later one that builds.
        unchanged: of one that has nothing to build; 0 where that cannot be known.
    """

    first: int
    again: int
    unchanged: int


BUDGETS = {
    "tpch__orders__4h": Budget(450, 450, 0),
    "gaming__purchases__5min": Budget(90, 60, 12),
    "gaming__user_activity__hourly": Budget(120, 100, 12),
    "affiliate__web_traffic__daily": Budget(500, 400, 40),
    "affiliate__scrapers__daily": Budget(300, 250, 20),
    "affiliate__commission__daily": Budget(300, 250, 12),
    "forex__customer_transactions__hourly": Budget(250, 200, 50),
    # Six files a day, with about 15 statements each, and three for each table that is exported.
    "retail__sales__daily": Budget(350, 320, 150),
}
