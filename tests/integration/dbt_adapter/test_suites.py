"""dbt's own adapter tests, dbt-tests-adapter, with dbt-snowflake on the local warehouse.

There is a test class here for every class of that package: as it is, or as `snowflake.py` adapts
it. What cannot apply is in `not_applicable.py` with its reason; it runs too, and must fail, so that
an entry that has become wrong shows. A campaign runs them all, the other test runs the `SAMPLE`.
"""

from __future__ import annotations

import pytest

from tests import campaign
from tests.integration.dbt_adapter import snowflake
from tests.integration.dbt_adapter.not_applicable import NOT_APPLICABLE
from tests.integration.dbt_adapter.suites import ABSTRACT, methods_of, suites

pytestmark = [pytest.mark.integration, pytest.mark.campaign]

SUITES = suites()

# What every dbt project of Snowflake users does, each once. The models, snapshots, contracts and
# hooks of the project itself are built by the other tests.
SAMPLE = {
    "basic.test_docs_generate.BaseDocsGenerate",
    "basic.test_incremental.BaseIncremental",
    "basic.test_snapshot_check_cols.BaseSnapshotCheckCols",
    "constraints.test_constraints.BaseIncrementalConstraintsRollback",
    "dbt_clone.test_dbt_clone.BaseCloneSameTargetAndState",
    "empty.test_empty.BaseTestEmpty",
    "grants.test_model_grants.BaseModelGrants",
    "hooks.test_model_hooks.BasePrePostModelHooks",
    "incremental.test_incremental_microbatch.BaseMicrobatch",
    "incremental.test_incremental_predicates.BaseIncrementalPredicates",
    "persist_docs.test_persist_docs.BasePersistDocs",
    "relations.test_changing_relation_type.BaseChangeRelationTypeValidator",
    "simple_seed.test_seed.BaseSeedSpecificFormats",
    "simple_snapshot.test_ephemeral_snapshot_hard_deletes.BaseSnapshotNewColumnWithDeletes",
    "store_test_failures_tests.basic.StoreTestFailuresAsGeneric",
    "unit_testing.test_types.BaseUnitTestingTypes",
}


def _test_classes() -> dict[str, type]:
    classes = {}
    for name, suite in SUITES.items():
        if name in ABSTRACT or not (campaign.LONG or name in SAMPLE):
            continue
        adapted = snowflake.adapted(suite)
        if not any(found.__name__ == suite.__name__ for found in adapted):
            adapted = [suite, *adapted]
        for found in adapted:
            test_name = "Test_" + name.rpartition(".")[0].replace(".", "_") + "_" + found.__name__
            classes[test_name] = type(
                test_name, (found,), {"__module__": __name__, "suite": name, "__test__": True}
            )
    return classes


globals().update(_test_classes())


def test_scaffolding_runs_through_subclasses() -> None:
    for name in ABSTRACT:
        others = [suite for other, suite in SUITES.items() if other not in ABSTRACT]
        assert any(issubclass(suite, SUITES[name]) for suite in others), name


@pytest.mark.parametrize("name", NOT_APPLICABLE)
def test_entry_of_not_applicable_names_a_test(name: str) -> None:
    suite, _, test = name.partition("::")
    assert suite in SUITES
    assert suite not in ABSTRACT
    assert not test or test in methods_of(SUITES[suite])


def test_the_sample_is_of_suites_that_run() -> None:
    assert set(SUITES) - ABSTRACT - set(NOT_APPLICABLE) >= SAMPLE


def test_adapted_classes_belong_to_a_suite() -> None:
    used = {found for suite in SUITES.values() for found in snowflake.adapted(suite)}
    assert used == set(snowflake.classes())
