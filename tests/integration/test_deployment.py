"""A small domain deployed, changed, deployed again and rolled back, on the local warehouse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil  # type: ignore[import-untyped]
import pytest
import typer.testing
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.commands.firn import app
from include.delivery.account import grants_of_database
from include.delivery.deployment import artifacts, checks, databases, records, run
from include.delivery.deployment.dbt import DeployedProject, plan
from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.exchange import exchange, left_behind
from include.delivery.deployment.records import Book
from include.delivery.deployment.run import Wanted, deploy, roll_back
from include.warehouse.connection import ConnectionSettings
from tests import campaign
from tests.conftest import start_warehouse
from tests.integration import small_project
from tests.integration.small_project import SHAS

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
READ = "select max(version), count(*) from ANALYTICS.MART.{}"
REAL_RUN = DeployedProject._run
ROW = "insert into ANALYTICS.INTERMEDIATE.INT_SMALL (id, version) values ({}, 2)"
NINTH = "create or replace view ANALYTICS_STAGING.STAGING.STG_SMALL as select 9 as version, 1 as id"
HAS_ROW = "select count(*) from {}.INTERMEDIATE.INT_SMALL where id = {}"


class Place:
    """A warehouse that plays the account, with the project that is deployed to it.

    Attributes:
        warehouse: the account; it is stopped while a stage is kept or restored.
        project: the project's folder.
        kept: where stages of both are.
        stage: the one that both are at, as long as no test changes them.
    """

    def __init__(self, folder: Path) -> None:
        self.warehouse = start_warehouse(folder / "home")
        self.project, self.kept = folder / "project", folder / "kept"
        self.project.mkdir()
        self.stage = ""

    def connect(self, **arguments):
        return self.warehouse.connect(**arguments)

    def keep(self, stage: str) -> None:
        self.warehouse.process.stop()
        for name in ("home", "project"):
            shutil.copytree(self.kept.parent / name, self.kept / stage / name)
        self.warehouse.process.start()
        self.stage = stage

    def restore(self, stage: str) -> None:
        if self.stage == stage:
            return
        self.warehouse.process.stop()
        for name in ("home", "project"):
            shutil.rmtree(self.kept.parent / name)
            shutil.copytree(self.kept / stage / name, self.kept.parent / name)
        self.warehouse.process.start()
        self.stage = stage


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """With the reporter's role, five rows in RAW, and nothing deployed yet."""
    place = Place(tmp_path_factory.mktemp("deployed"))
    with place.connect(database="RAW") as connection, connection.cursor() as cursor:
        for statement in (
            *(
                f"create role FIRN_{role}"
                for role in ("REPORTER", "CI", "DEVELOPER", "TRANSFORMER")
            ),
            "create schema RAW.SMALL",
            "create table RAW.SMALL.EVENTS as select seq4() as id, sysdate() as loaded_at"
            " from table(generator(rowcount => 5))",
        ):
            cursor.execute(statement)
        # As the setup of an account has done it.
        cursor.execute("create database if not exists ANALYTICS_STAGING")
        for database in ("ANALYTICS", "ANALYTICS_STAGING"):
            cursor.execute(f"create schema {database}.MART")
            for statement in grants_of_database(database):
                cursor.execute(statement)
    place.keep("empty")
    yield place
    place.warehouse.process.stop()


@contextmanager
def rehearsed(place):
    """The environment in which the warehouse plays the account."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "DBT_PROJECT_DIR": str(place.project),
            "FIRN_HOME": str(place.warehouse.home),
            "FIRN_LOCAL_PORT": str(place.warehouse.port),
            "FIRN_TARGET": "prod",
            "SNOWFLAKE_ACCOUNT": "local",
        }.items():
            patch.setenv(name, value)
        patch.setattr(DeployedProject, "_run", small_project.run_in_process)
        yield ConnectionSettings()


@pytest.fixture(scope="module")
def once(place):
    """The first deployment; what came of it."""
    place.restore("empty")
    small_project.write(place.project, version=1)
    with rehearsed(place) as settings:
        done = deploy(Wanted(SHAS[0]), settings)
    place.keep("once")
    return done


@pytest.fixture(scope="module")
def twice(place, once):
    """The second deployment, of another version and one more row; what readers saw meanwhile."""
    place.restore("once")
    small_project.write(place.project, version=2)
    with place.connect() as connection:
        connection.cursor().execute("insert into RAW.SMALL.EVENTS values (5, sysdate())")
    with rehearsed(place) as settings, Reader(place) as reader:
        deploy(Wanted(SHAS[1]), settings)
    place.keep("twice")
    return reader.seen


@pytest.fixture
def project(place):
    return place.project


@pytest.fixture
def settings(place, clean_environment):
    with rehearsed(place) as settings:
        yield settings


@pytest.fixture
def sql(place):
    with place.connect(database="RAW") as connection:

        def query(statement):
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()

        yield query


@pytest.fixture
def nothing_deployed(place):
    place.restore("empty")


@pytest.fixture
def deployed_once(place, once):
    """For tests that change nothing."""
    place.restore("once")


@pytest.fixture
def deployed_twice(place, twice):
    """Version 2 in production, version 1 beside it; the test may change both."""
    place.restore("twice")
    place.stage = ""


class Reader(threading.Thread):
    """Reads a view and a table of production all the time; each pair of versions that it saw."""

    def __init__(self, place):
        super().__init__(daemon=True)
        self.place, self.stopped = place, threading.Event()
        self.seen: list[object] = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join(20)

    def run(self):
        with self.place.connect(database="ANALYTICS") as connection:
            cursor = connection.cursor()
            while not self.stopped.is_set():
                try:
                    cursor.execute(
                        "select (select max(version) from MART.MART_SMALL_VIEW),"
                        " (select count(*) from ANALYTICS.MART.MART_SMALL)"
                    )
                    seen: object = tuple(cursor.fetchall()[0])
                except Exception as error:
                    seen = str(error)
                if seen not in self.seen[-1:]:
                    self.seen.append(seen)


def sha_in_production(settings):
    build = run.in_production(settings)
    return build and build.sha


def refusal(action):
    with pytest.raises(DeploymentError) as caught:
        action()
    return str(caught.value)


@pytest.mark.usefixtures("nothing_deployed")
def test_nothing_deployed_yet(settings):
    assert "nothing was deployed yet" in refusal(lambda: roll_back(settings))
    elsewhere = settings.model_copy(update={"firn_target": "dev"})
    assert "deployments are for prod" in refusal(lambda: deploy(Wanted(SHAS[0]), elsewhere))


@pytest.mark.usefixtures("deployed_once")
def test_the_first_one(once, settings, sql):
    assert once.left is None
    for mart in ("MART_SMALL", "MART_SMALL_VIEW"):
        assert sql(READ.format(mart)) == [(1, 5)]
    assert sha_in_production(settings) == SHAS[0]
    assert "production was empty" in refusal(lambda: roll_back(settings))


@pytest.mark.usefixtures("deployed_once")
def test_its_artifacts_name_production(settings, tmp_path):
    assert artifacts.fetch(settings, SHAS[0], tmp_path)
    nodes = json.loads((tmp_path / "manifest.json").read_text())["nodes"].values()
    assert {node["database"] for node in nodes} == {"ANALYTICS"}
    assert (tmp_path / "run_results.json").exists()


@pytest.mark.usefixtures("deployed_once")
def test_the_reporter_may_read_right_after_the_swap(sql):
    granted = {(row[1], row[2], row[3]) for row in sql("show grants to role FIRN_REPORTER")}
    for database in ("ANALYTICS", "ANALYTICS_STAGING"):
        assert ("USAGE", "DATABASE", database) in granted
        assert ("USAGE", "SCHEMA", f"{database}.MART") in granted
        future = sql(f"show future grants in schema {database}.MART")
        assert {("SELECT", "TABLE"), ("SELECT", "VIEW")} == {
            (row[1], row[2]) for row in future if row[5] == "FIRN_REPORTER"
        }
    assert not any(".STAGING" in name for *_, name in granted), "layers of nobody's business"


@pytest.mark.usefixtures("deployed_once")
def test_the_same_commit_is_not_built_again(settings, sql):
    assert "nothing was built" in deploy(Wanted(SHAS[0]), settings).message
    assert sql("select count(*) from RAW.META.DEPLOYMENTS") == [(1,)]


@pytest.mark.usefixtures("deployed_twice")
def test_a_changed_model_is_seen_at_once(twice, sql):
    assert twice == [(1, 5), (2, 6)], "old, then new, and nothing in between"
    # What was built before stays: the incremental model has old rows, the snapshot both.
    assert sql("select id, version from ANALYTICS.INTERMEDIATE.INT_SMALL order by id")[-2:] == [
        (4, 1), (5, 2),
    ]  # fmt: skip
    assert sql("select count(*) from ANALYTICS.SNAPSHOTS.SNAP_SMALL") == [(11,)]


@pytest.mark.usefixtures("deployed_twice")
def test_a_view_reads_from_its_own_side(sql):
    assert sql("select max(version) from ANALYTICS_STAGING.MART.MART_SMALL_VIEW") == [(1,)]
    sql(NINTH)
    assert sql("select max(version) from ANALYTICS.MART.MART_SMALL_VIEW") == [(2,)]
    assert sql("select max(version) from ANALYTICS_STAGING.MART.MART_SMALL_VIEW") == [(9,)]


@pytest.mark.usefixtures("deployed_twice")
def test_going_back_does_not_lose_what_was_written(settings, sql):
    sql("insert into ANALYTICS.INTERMEDIATE.INT_SMALL (id, version) values (77, 2)")
    said = refusal(lambda: roll_back(settings))
    assert "INTERMEDIATE.INT_SMALL" in said
    assert "--yes" in said
    assert sha_in_production(settings) == SHAS[1]


@pytest.mark.usefixtures("deployed_twice")
@pytest.mark.campaign
def test_no_row_is_lost_whenever_it_is_committed(settings, place, sql, monkeypatch):
    """A transaction commits just before or after a swap, and its row stays in production."""
    random = Random(campaign.SEED)  # noqa: S311
    book, real = Book(settings), Book.about_to_swap
    with book.alone(), run._cursor(settings, book) as cursor:
        for number in range(100, 100 + campaign.size(8, 300)):
            since = databases.state(cursor, "ANALYTICS")
            with place.connect(database="RAW", autocommit=False) as writer:
                writer.cursor().execute(ROW.format(number))
                ending = threading.Timer(random.uniform(0, 0.3), writer.commit)

                def after_the_look(*arguments, ending=ending):
                    real(*arguments)
                    if not ending.ident:
                        ending.start()

                monkeypatch.setattr(Book, "about_to_swap", after_the_look)
                if is_early := number % 2 == 0:
                    ending.start()
                said = refusal(lambda since=since: exchange(cursor, book, since, str))
                ending.join()
            assert is_early or "at the moment of the swap (INTERMEDIATE.INT_SMALL)" in said
            assert "INTERMEDIATE.INT_SMALL" in said
            assert sql(HAS_ROW.format("ANALYTICS", number)) == [(1,)], said
            assert sql(HAS_ROW.format("ANALYTICS_STAGING", number)) == [(0,)]
    assert sha_in_production(settings) == SHAS[1]


@pytest.mark.usefixtures("deployed_twice")
def test_back_and_forth(settings, place, sql):
    sql(NINTH)
    with Reader(place) as reader:
        done = roll_back(settings, yes=True)
    assert reader.seen == [(2, 6), (9, 5)]
    assert SHAS[0] in done.message
    assert sha_in_production(settings) == SHAS[0]
    assert "rolled back already" in refusal(lambda: roll_back(settings))
    roll_back(settings, yes=True)
    assert sql(READ.format("MART_SMALL")) == [(2, 6)]
    kinds = sql("select kind, status from RAW.META.DEPLOYMENTS order by deployment_id")
    assert kinds == [("deploy", "deployed")] * 2 + [("rollback", "deployed")] * 2


@pytest.mark.usefixtures("deployed_twice")
def test_grants_that_nobody_has_declared_stop_it(settings, sql):
    sql("create role ANALYST")
    for grant in (
        "usage on database ANALYTICS",
        "usage on database ANALYTICS_STAGING",
        "usage on schema ANALYTICS.MART",
        "select on table ANALYTICS.MART.MART_SMALL",
        "select on view ANALYTICS.MART.MART_SMALL_VIEW",
        "select on future tables in database ANALYTICS",
    ):
        sql(f"grant {grant} to role ANALYST")
    sql("grant insert on table ANALYTICS.MART.MART_SMALL to role FIRN_REPORTER")
    said = refusal(lambda: deploy(Wanted(SHAS[2]), settings))
    assert (
        ": INSERT on tables in schema ANALYTICS.MART to FIRN_REPORTER; "
        "SELECT on future tables in database ANALYTICS to ANALYST; "
        "SELECT on tables in schema ANALYTICS.MART to ANALYST; "
        "SELECT on views in schema ANALYTICS.MART to ANALYST; "
        "USAGE on database ANALYTICS to ANALYST; "
        "USAGE on database ANALYTICS_STAGING to ANALYST; "
        "USAGE on schema ANALYTICS.MART to ANALYST. Declare them in "
    ) in said
    assert "--accept-grants" in said


@pytest.mark.usefixtures("deployed_twice")
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("id < 3", "mart_small has 3 rows and production 6: that is -50 %"),
        ("1 / (id - id) > 0", "The build failed: mart_small"),
    ],
    ids=["too few rows", "a model that fails"],
)
def test_what_is_wrong_stays_out(settings, project, sql, where, said):
    small_project.write(project, version=3, where=where)
    assert said in refusal(lambda: deploy(Wanted(SHAS[2]), settings))
    assert sql(READ.format("MART_SMALL_VIEW")) == [(2, 6)]
    assert sha_in_production(settings) == SHAS[1]
    assert sql("select status from RAW.META.DEPLOYMENTS order by deployment_id desc limit 1"
               ) == [("failed",)]  # fmt: skip
    assert artifacts.known(settings)[0].sha != SHAS[2]
    assert "unfinished build" in refusal(lambda: roll_back(settings, yes=True))


@pytest.mark.usefixtures("deployed_twice")
def test_a_mart_that_is_not_there_cannot_be_accepted(settings, project):
    small_project.write(project, version=3)
    said = refusal(lambda: deploy(Wanted(SHAS[2], accepted=["mart_smal"]), settings))
    assert "--accept names mart_smal, but no mart of that name is built" in said
    assert "use one of mart_small" in said


@pytest.mark.usefixtures("deployed_twice")
@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ((checks, "problems"), "was written to while ANALYTICS_STAGING was built (INTERMEDI"),
        ((databases, "swap"), "at the moment of the swap (INTERMEDIATE.INT_SMALL), so the swa"),
    ],
    ids=["while it was built", "after the last look"],
)
def test_written_meanwhile(settings, project, place, sql, monkeypatch, moment, said):
    small_project.write(project, version=3, where="id < 3")
    real = getattr(*moment)
    with place.connect(database="RAW", autocommit=False) as writer:

        def written(*arguments, **named):
            writer.commit()
            return real(*arguments, **named)

        writer.cursor().execute(ROW.format(78))
        monkeypatch.setattr(*moment, written)
        wanted = Wanted(SHAS[2], accepted=["mart_small"])
        assert said in refusal(lambda: deploy(wanted, settings))
    assert sql(HAS_ROW.format("ANALYTICS", 78)) == [(1,)]
    # It is marked as incomplete, so that nobody swaps it by hand either.
    assert sql("select is_complete from ANALYTICS_STAGING.DEPLOYMENT.BUILD") == [(False,)]
    assert sql(READ.format("MART_SMALL_VIEW")) == [(2, 6)]
    assert sha_in_production(settings) == SHAS[1]


@pytest.mark.usefixtures("deployed_twice")
def test_two_at_once(settings, sql):
    with Book(settings).alone():
        said = refusal(lambda: deploy(Wanted(SHAS[2]), settings))
        assert "has been in progress since" in said
        assert "seconds ago: wait for it." in said
        alive = refusal(lambda: Book(settings).unlock())
        assert "seconds ago, so it is alive: wait for it, or end it where it runs." in alive
        assert "--force" in alive
        # A deployment whose lock was not renewed for this long counts as dead.
        sql("update RAW.META.DEPLOYMENT_LOCK set renewed_at = dateadd(second, -31, sysdate())")
        assert Book(settings).unlock()
        assert Book(settings).holder() is None


@pytest.mark.usefixtures("deployed_twice")
def test_dbt_of_who_lost_the_lock_ends_and_nothing_is_swapped(settings, project, sql, monkeypatch):
    small_project.write(project, version=3)
    monkeypatch.setattr(records, "RENEW_SECONDS", 0.2)
    here, children = psutil.Process(), list[psutil.Process]()

    def break_lock():
        wait = Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)
        for attempt in wait:
            with attempt:
                children.extend(one for one in here.children() if "build" in one.cmdline())
                assert children
        Book(settings).unlock(force=True)

    def run_dbt(self, target, *command):
        if command[0] != "build":
            return small_project.run_in_process(self, target, *command)
        breaking = threading.Thread(target=break_lock)
        breaking.start()
        try:
            return REAL_RUN(self, target, *command)
        finally:
            breaking.join()

    monkeypatch.setattr(DeployedProject, "_run", run_dbt)
    assert "took over" in refusal(lambda: deploy(Wanted(SHAS[2]), settings))
    assert children
    assert not psutil.wait_procs(children, timeout=0)[1], "dbt has ended before the error is raised"
    # The copy was made, and nothing was built in it.
    assert sql("select max(version) from ANALYTICS_STAGING.MART.MART_SMALL_VIEW") == [(2,)]
    assert sql(READ.format("MART_SMALL_VIEW")) == [(2, 6)]
    assert Book(settings).latest()[0].status == "failed"


@pytest.mark.usefixtures("deployed_twice")
def test_a_source_that_is_not_there(settings, project):
    sources = project / "models/staging/small/_sources.yml"
    sources.write_text(sources.read_text().replace("{name: events}", "{name: nowhere, "
                       "identifier: NOWHERE}, {name: events}"))  # fmt: skip
    extra = project / "models/staging/small/stg_nowhere.sql"
    extra.write_text("select * from {{ source('small', 'nowhere') }}")
    wanted = Wanted(SHAS[2], domains=["small"])
    assert "RAW.SMALL.NOWHERE is not there" in refusal(lambda: deploy(wanted, settings))


@pytest.mark.usefixtures("deployed_twice")
def test_killed_at_each_step(settings, project, sql):
    """A killed one leaves production as it was, or as it will be; the next one goes on."""
    steps = ["clone", "build", "check", "swap", "artifacts"]
    victim = subprocess.run(
        [sys.executable, "-m", "tests.integration.deployment_victim", project, *steps],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert victim.returncode == 0, victim.stdout + victim.stderr
    assert json.loads(victim.stdout.splitlines()[-1]) == [2, 2, 2, 2, 6]
    # Between the swap and the next command a pipeline writes.
    sql("insert into ANALYTICS.INTERMEDIATE.INT_SMALL (id, version) values (79, 6)")
    done = deploy(Wanted(SHAS[7]), settings)
    assert "nothing was built" in done.message, "the one after the swap is put right"
    assert done.left is None
    ended = "select status, count(*) from RAW.META.DEPLOYMENTS where status <> 'failed' group by 1"
    assert dict(sql(ended)) == {"deployed": 3, "abandoned": 4}
    assert artifacts.known(settings)[0].sha == SHAS[7]
    lost = refusal(lambda: roll_back(settings))
    assert "was written to since it was swapped (INTERMEDIATE.INT_SMALL)" in lost
    roll_back(settings, yes=True)
    assert sql(READ.format("MART_SMALL_VIEW")) == [(2, 6)]


@pytest.mark.usefixtures("deployed_twice")
@pytest.mark.usefixtures("settings")
def test_the_commands(sql):
    sql(ROW.format(79))

    def command(*arguments):
        return typer.testing.CliRunner().invoke(app, arguments)

    status = command("deployment", "status")
    assert status.exit_code == 0
    assert f"ANALYTICS: built from {SHAS[1]}" in status.stdout
    assert f"ANALYTICS_STAGING: built from {SHAS[0]}" in status.stdout
    refused = command("deploy", "--sha", "abc")
    assert refused.exit_code == 2
    assert "40 hexadecimal digits" in refused.stderr
    assert command("rollback").exit_code == 2
    forward = command("rollback", "--yes")
    assert forward.exit_code == 0, forward.stderr
    assert f"Rolled back to {SHAS[0]}" in forward.stdout


@pytest.mark.usefixtures("deployed_twice")
def test_a_part_of_a_commit_is_not_the_whole(settings, project, sql):
    small_project.write(project, version=7)
    assert deploy(Wanted(SHAS[8], domains=["small"]), settings).left is None
    assert sha_in_production(settings) == SHAS[8]
    # A pull request that starts here would take all domains for those of this commit.
    assert SHAS[8] not in {one.sha for one in artifacts.known(settings)}
    assert "nothing was built" not in deploy(Wanted(SHAS[8]), settings).message
    assert artifacts.known(settings)[0].sha == SHAS[8]
    assert "nothing was built" in deploy(Wanted(SHAS[8]), settings).message


@pytest.mark.usefixtures("deployed_twice")
def test_rows_that_were_committed_after_the_swap_are_not_replaced(settings, sql):
    # On an account a transaction can outlive the swap of its database.
    sql(ROW.format(90).replace("ANALYTICS.", "ANALYTICS_STAGING."))
    said = refusal(lambda: deploy(Wanted(SHAS[9]), settings))
    assert "committed there after the last swap (INTERMEDIATE.INT_SMALL)" in said
    assert "--discard-left-behind" in said
    # Accepting writes to production does not mean accepting the loss of these rows.
    assert said == refusal(lambda: deploy(Wanted(SHAS[9], despite_changes=True), settings))
    assert sql(HAS_ROW.format("ANALYTICS_STAGING", 90)) == [(1,)]
    further = Wanted(SHAS[9], accepted=["mart_smal"], discard_left_behind=True)
    assert "--accept names mart_smal" in refusal(lambda: deploy(further, settings))


@pytest.mark.usefixtures("deployed_twice")
@pytest.mark.parametrize("database", ["ANALYTICS", "ANALYTICS_STAGING"])
def test_what_is_in_public_is_not_swapped_unseen(settings, sql, database):
    sql(f"create table {database}.PUBLIC.KEPT as select 1 as id")
    for action in (lambda: deploy(Wanted(SHAS[9]), settings), lambda: roll_back(settings)):
        said = refusal(action)
        assert f"It holds {database}.PUBLIC.KEPT: move that to another schema" in said


@pytest.mark.usefixtures("deployed_twice")
def test_a_staging_database_that_was_dropped_is_made_again(settings, sql):
    sql("drop database ANALYTICS_STAGING")
    book = Book(settings)
    with run._cursor(settings, book) as cursor:
        assert left_behind(cursor, {"INTERMEDIATE.INT_SMALL": "1"}) == []
    further = Wanted(SHAS[9], accepted=["mart_smal"])
    assert "--accept names mart_smal" in refusal(lambda: deploy(further, settings))


@pytest.mark.parametrize(
    ("rows", "before", "said"),
    [
        (100, 100, None),
        (80, 100, None),
        (79, 100, "-21 %"),
        (121, 100, "+21 %"),
        (0, 100, "has no row"),
        (0, None, "has no row"),
        (7, None, None),
        (7, 0, None),
        (None, 100, "is not there"),
    ],
)
def test_distances(rows, before, said):
    found = checks.problems(
        {} if rows is None else {"MART.M": rows},
        {} if before is None else {"MART.M": before},
        {"m": ("MART", "M")},
        may_be_empty=(),
        most_percent=20,
    )
    assert found == {} if said is None else said in found["m"]


def test_what_is_left_to_its_pipeline_is_built_when_it_is_asked_for():
    def model(domain, meta):
        return {
            "resource_type": "model", "package_name": "firn", "name": f"mart_{domain}",
            "original_file_path": f"models/mart/{domain}/mart_{domain}.sql", "schema": "mart",
            "alias": f"mart_{domain}", "config": {"meta": meta},
        }  # fmt: skip

    manifest = {
        "nodes": {"a": model("sales", {}), "b": model("usage", {"deploy": False})},
        "sources": {},
        "parent_map": {},
    }
    assert plan(manifest, (), (), monitored=False).domains == ["sales"]
    assert set(plan(manifest, (), (), monitored=False).marts) == {"mart_sales"}
    assert plan(manifest, (), ("usage",), monitored=False).domains == ["usage"]


def test_a_mart_that_may_be_empty_has_lost_its_rows():
    found = checks.problems(
        {"MART.M": 0}, {"MART.M": 5}, {"m": ("MART", "M")}, may_be_empty={"m"}, most_percent=20
    )
    assert "-100 %" in found["m"]


def test_an_empty_mart_that_may_be():
    found = checks.problems(
        {"MART.M": 0}, {}, {"m": ("MART", "M")}, may_be_empty={"m"}, most_percent=20
    )
    assert found == {}
