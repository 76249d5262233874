"""What the retail DAG does besides what every DAG does: pick up the delivery, or make one up."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context, task

from include.core.logs import event
from include.project.paths import target

GENERATE = "generate_sample"


def sample_params() -> dict[str, Param]:
    """The parameters of the sample; on an account nothing is made up unless it is asked for."""

    def size(default: int, most: int, title: str) -> Param:
        return Param(default=default, type="integer", minimum=1, maximum=most, title=title)

    return {
        GENERATE: Param(
            default=target() == "local",
            type="boolean",
            title="Generate a sample",
            description="If no file waits in the landing folder, make up the delivery of the day.",
        ),
        "customers": size(10_000, 100_000_000, "Customers in all of a sample"),
        "transactions": size(50_000, 100_000_000, "New transactions a day of a sample"),
        "products": size(200, 1_000_000, "Products in all of a sample"),
        "seed": Param(default=20250101, type="integer", minimum=0, title="Seed of a sample"),
    }


@task
def deliver() -> list[dict[str, Any]]:
    """Leave what has landed to be loaded; if nothing has, make up the day's delivery if allowed."""
    from include.domains.retail import sample as retail

    context = get_current_context()
    params = context["params"]
    if waiting := retail.waiting():
        event("delivery.waiting", domain="retail", files=waiting)
        return []
    if not params[GENERATE]:
        event("delivery.waiting", domain="retail", files=0)
        return []
    sizes = retail.Sizes(
        params["customers"], params["transactions"], params["products"], params["seed"]
    )
    run = context["dag_run"]
    day = (run.logical_date or run.run_after).date()
    delivered = retail.deliver(max(day, retail.START), sizes)
    for file in delivered:
        event(
            "delivery.generated",
            domain="retail",
            source=file.source,
            file=file.file.name,
            rows=file.rows,
        )
    return [
        {"source": file.source, "file": file.file.name, "rows": file.rows} for file in delivered
    ]
