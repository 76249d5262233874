"""Values of every PostgreSQL type as text, extracted from a real server."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from include.ingestion import database as extraction
from include.ingestion.sources import Column, DatabaseFormat, Source
from tests import campaign

pytestmark = pytest.mark.integration

LITERALS = {
    "aclitem": ["=r/game"],
    "bit": ["0", "1"],
    "bool": ["t", "f"],
    "box": ["(1,1),(0,0)"],
    "bpchar": ["a", "é"],
    "bytea": [r"\x", r"\x00ff41", r"\x4142"],
    "char": ["a", ""],
    "cid": ["7"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
    "circle": ["<(1,2),3>"],
    "date": ["2026-03-01", "infinity", "-infinity", "0044-03-15 BC", "12026-01-01", "0001-01-01"],
    "datemultirange": ["{}", "{[2026-01-01,2026-02-01)}"],
    "daterange": ["empty", "[2026-01-01,)"],
    "float4": ["0.1", "-0", "NaN", "Infinity", "1e-30", "3.4028235e38"],
    "float8": ["0.1", "1e22", "NaN", "-Infinity", "5e-324", "0.30000000000000004", "2"],
    "gtsvector": [],  # Nobody can write one.
    "inet": ["192.168.0.1", "192.168.0.1/24", "::1"],
    "int2": ["-32768"],
    "int2vector": ["1 2 3"],
    "int4": ["2147483647"],
    "int4multirange": ["{[1,3),[5,9)}"],
    "int4range": ["[1,3)", "(,)"],
    "int8": ["-9223372036854775808"],
    "int8multirange": ["{[1,3)}"],
    "int8range": ["[1,3)"],
    "interval": ["1 day 02:03:04", "-1 year -3 days 00:00:00.000001", "0", "1000000:00:00"],
    "json": ['{"a": 1.10,  "a": 2}', "null", '"x"', "123456789012345678901234567890.10"],
    "jsonb": ['{"a": 1, "b": true}', "[1]", '"x"', "null", "1.10", "1e400", '{"é": "\\u20ac"}'],
    "jsonpath": ['$."a"[*]?(@ > 1)'],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(1,1)]"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "money": ["-1234.50", "92233720368547758.07"],
    "name": ["a name"],
    "numeric": ["1.10", "0.12345", "NaN", "Infinity", "-Infinity", "1e40", "0.000", "-7"],
    "nummultirange": ["{[1.10,2.5)}"],
    "numrange": ["[1.10,2.5)"],
    "oid": ["4294967295"],
    "oid8": ["18446744073709551615"],
    "oidvector": ["1 2"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1))"],
    "pg_brin_bloom_summary": [],
    "pg_brin_minmax_multi_summary": [],
    "pg_dependencies": [],
    "pg_lsn": ["16/B374D848"],
    "pg_mcv_list": [],
    "pg_ndistinct": [],
    "pg_node_tree": [],
    "pg_snapshot": ["10:20:10,14,15"],
    "point": ["(1,2.5)"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "refcursor": ["cursor"],
    "regclass": ["pg_class"],
    "regcollation": ['"C"'],
    "regconfig": ["english"],
    "regdatabase": ["postgres"],
    "regdictionary": ["simple"],
    "regnamespace": ["pg_catalog"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["+(integer,integer)"],
    "regproc": ["now"],
    "regprocedure": ["lower(text)"],
    "regrole": ["game"],
    "regtype": ["integer"],
    "text": ["", "NULL", "é\n\t\"'\\,;", "infinity", "2026-03-01 10:00:00"],
    "tid": ["(0,1)"],
    "time": ["10:00:00", "23:59:59.999999", "24:00:00", "10:00:00.25"],
    "timestamp": [
        *("2026-03-01 12:00:00", "2026-03-01 12:00:00.25", "0001-01-01 00:00:00", "infinity"),
        *("-infinity", "0044-03-15 12:00:00 BC", "12026-01-01 00:00:00.5", "9999-12-31 23:59:59"),
    ],
    "timestamptz": [
        *("2026-03-01 12:00:00+02", "2026-03-01 12:00:00.25-03:30", "infinity", "-infinity"),
        *("0044-03-15 12:00:00+00 BC", "9999-12-31 23:59:59-05", "0001-01-01 00:00:00+00"),
    ],
    "timetz": ["10:00:00+02", "10:00:00.25-03:30"],
    "tsmultirange": ['{["2026-01-01 00:00:00","2026-01-02 00:00:00.5")}'],
    "tsquery": ["'a' & !'b'"],
    "tsrange": ["[2026-01-01,2026-01-02)"],
    "tstzmultirange": ["{[2026-01-01,2026-01-02)}"],
    "tstzrange": ["[2026-01-01 00:00:00+02,infinity)"],
    "tsvector": ["'a':1 'b':2A"],
    "txid_snapshot": ["10:20:10,14,15"],
    "uuid": ["41424344-4546-4748-494a-4b4c4d4e4f50", "3f2b8c1e-9d4a-4e6b-8c7d-0123456789ab"],
    "varbit": ["", "10101"],
    "varchar": ["a ", "x"],
    "xid": ["7"],
    "xid8": ["18446744073709551615"],
    "xml": [],  # The test server is built without XML.
    # Types that the test creates.
    "app.mood": ["happy", "not, so"],
    "app.pair": ["(1,two)", '(,"a ""b""")'],
    "app.small": ["7"],
    "app.since": ["2026-03-01 12:00:00.25", "infinity"],
}


def _random_values(count: int) -> dict[str, list[str]]:
    """More values of the types whose text varies most with the value."""
    pick = random.Random(campaign.SEED)  # noqa: S311
    epoch = datetime(1, 1, 1)  # noqa: DTZ001

    def moment() -> str:
        at = epoch + timedelta(microseconds=pick.randrange(315_537_897_600 * 10**6))
        return at.isoformat(" ") if pick.random() < 0.5 else at.isoformat(" ", "seconds")

    def number() -> str:
        digits = str(pick.randrange(10 ** pick.randrange(1, 40)))
        return f"{pick.choice(['', '-'])}{digits}.{'0' * pick.randrange(9)}{digits[:5]}"

    def double() -> str:
        return repr(struct.unpack("d", pick.randbytes(8))[0])

    made = {
        "timestamp": moment,
        "timestamptz": lambda: moment() + f"{pick.randrange(-14, 14):+03}:30",
        "numeric": number,
        "jsonb": lambda: f'{{"n": {number().lstrip("0")}}}',
        "float8": double,
        "date": lambda: moment()[:10],
        "time": lambda: moment()[11:],
        "interval": lambda: f"{pick.randrange(-99, 99)} mon {number()[:9]} s",
        "uuid": lambda: pick.randbytes(16).hex(),
        "bytea": lambda: rf"\x{pick.randbytes(pick.randrange(9)).hex()}",
    }
    return {kind: [make() for _ in range(count)] for kind, make in made.items()}


class Values:
    """A table with a column for each type and one for its array, and its extraction."""

    def __init__(self, url: URL) -> None:
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.literals = LITERALS | {
            kind: [*LITERALS[kind], *values]
            for kind, values in _random_values(campaign.size(100, 20_000)).items()
        }
        kinds = [kind for kind, values in self.literals.items() if values]
        with self.engine.begin() as connection:
            for statement in (
                "drop schema if exists app cascade",
                "create schema app",
                "create type app.mood as enum ('happy', 'not, so')",
                "create type app.pair as (a integer, b text)",
                "create domain app.small as smallint",
                "create domain app.since as timestamp",
            ):
                connection.exec_driver_sql(statement)
            rows = connection.exec_driver_sql(
                "select typname from pg_type where typtype in ('b', 'r', 'm')"
                " and typcategory <> 'A' and typnamespace = 'pg_catalog'::regnamespace"
            )
            self.there = {name for (name,) in rows}
            self.kinds = [kind for kind in kinds if kind in self.there or "." in kind]
            self.columns = {
                f"c{number}": self._quoted(kind) for number, kind in enumerate(self.kinds)
            }
            self.columns |= {f"a{one[1:]}": f"{kind}[]" for one, kind in self.columns.items()}
            listed = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
            connection.exec_driver_sql(f"create table app.v (id integer, {listed}, at timestamp)")
            longest = max(map(len, self.literals.values()))
            for number in range(longest):
                texts = {
                    f"c{place}": values[number]
                    for place, kind in enumerate(self.kinds)
                    if number < len(values := self.literals[kind])
                }
                names = ", ".join(["id", *texts, *(f"a{name[1:]}" for name in texts)])
                single = ", ".join(f"(%({name})s::text)::{self.columns[name]}" for name in texts)
                array = ", ".join(
                    f"array[null, (%({name})s::text)::{self.columns[name]}]" for name in texts
                )
                connection.exec_driver_sql(
                    f"insert into app.v ({names}) select {number}, {single}, {array}", texts
                )

    @staticmethod
    def _quoted(kind: str) -> str:
        return kind if "." in kind else f'pg_catalog."{kind}"'

    def source(self, chunk_rows: int) -> Source:
        return Source(
            name="v",
            domain="values",
            load="add",
            chunk_rows=chunk_rows,
            format=DatabaseFormat(type="database", table="app.v", watermark="at"),
            columns=[
                Column(name="id"),
                *(Column(name=name) for name in self.columns),
                Column(name="at", type="timestamp"),
            ],
        )

    def extracted(self, root: Path, chunk_rows: int = 20_000) -> list[dict[str, str | None]]:
        delivery = extraction.extract(self.source(chunk_rows), root).delivery
        assert delivery is not None
        rows: list[dict[str, str | None]] = pq.read_table(delivery.path).to_pylist()
        return sorted(rows, key=lambda row: int(row["id"] or 0))


@pytest.fixture(scope="module")
def values(server: URL) -> Iterator[Values]:
    with pytest.MonkeyPatch.context() as patch:
        url = server.update_query_dict({"options": "-c timezone=Asia/Tokyo -c datestyle=german"})
        patch.setenv("FIRN_VALUES_DATABASE_URL", url.render_as_string(hide_password=False))
        yield Values(server)


def test_no_type_is_left_out(values: Values) -> None:
    assert values.there - set(LITERALS) == set()


@pytest.mark.campaign
def test_text_is_read_back_as_the_value_it_was(values: Values, tmp_path: Path) -> None:
    rows = values.extracted(tmp_path)
    with values.engine.begin() as connection:
        for setting in ("timezone to 'UTC'", "lc_monetary to 'C'"):
            connection.exec_driver_sql(f"set local {setting}")
        names = list(values.columns)
        connection.exec_driver_sql("drop table if exists app.came")
        connection.exec_driver_sql(
            f"create table app.came (id integer, {', '.join(f'{one} text' for one in names)})"
        )
        marks = ", ".join(f"%({name})s" for name in names)
        connection.exec_driver_sql(f"insert into app.came values (%(id)s::integer, {marks})", rows)
        wrong = connection.exec_driver_sql(
            " union all ".join(
                f"select '{kind}', v.{name}::text, came.{name} from app.v join app.came using (id)"
                f" where v.{name}::text is distinct from came.{name}::{kind}::text"
                for name, kind in values.columns.items()
            )
        ).all()
    assert wrong == []


def test_text_depends_on_the_value_alone(values: Values, tmp_path: Path) -> None:
    assert values.extracted(tmp_path) == values.extracted(tmp_path, chunk_rows=20)


def test_each_type_has_its_declared_form(values: Values, tmp_path: Path) -> None:
    rows = values.extracted(tmp_path)

    def texts(kind: str, ending: str = "c") -> Sequence[str | None]:
        column = f"{ending}{values.kinds.index(kind)}"
        return [row[column] for row in rows[: len(LITERALS[kind])]]

    as_they_are = (
        *("uuid", "jsonb", "json", "interval", "date", "inet", "numrange", "app.mood", "bytea"),
        *("app.pair", "app.small", "timetz", "varbit", "text"),
    )
    for kind in as_they_are:
        written = [one.replace('"\\u20ac"', '"€"') for one in LITERALS[kind]]
        if kind == "jsonb":
            written[written.index("1e400")] = "1" + 400 * "0"
        if kind == "timetz":
            written[0] = "10:00:00+02"
        if kind == "interval":
            written[1:3] = ["-1 years -3 days +00:00:00.000001", "00:00:00"]
        assert texts(kind) == written, kind
    assert texts("timestamp") == [
        *("2026-03-01 12:00:00.000000", "2026-03-01 12:00:00.250000", "0001-01-01 00:00:00.000000"),
        *("infinity", "-infinity", "0044-03-15 12:00:00 BC", "12026-01-01 00:00:00.5"),
        "9999-12-31 23:59:59.000000",
    ]
    assert texts("app.since") == ["2026-03-01 12:00:00.250000", "infinity"]
    assert texts("timestamptz") == [
        *("2026-03-01 10:00:00.000000", "2026-03-01 15:30:00.250000", "infinity", "-infinity"),
        *("0044-03-15 12:00:00+00 BC", "10000-01-01 04:59:59+00", "0001-01-01 00:00:00.000000"),
    ]
    assert texts("time") == [
        *("10:00:00.000000", "23:59:59.999999", "24:00:00.000000", "10:00:00.250000"),
    ]
    assert texts("numeric")[:6] == [
        "1.10",
        "0.12345",
        "NaN",
        "Infinity",
        "-Infinity",
        "1" + 40 * "0",
    ]
    assert texts("float8") == [
        *("0.1", "1" + 22 * "0", "NaN", "-Infinity", f"0.{323 * '0'}5", "0.30000000000000004", "2"),
    ]
    assert texts("bool") == ["true", "false"]
    assert texts("money") == ["-$1,234.50", "$92,233,720,368,547,758.07"]
    assert texts("jsonb", "a")[:2] == [r'{NULL,"{\"a\": 1, \"b\": true}"}', "{NULL,[1]}"]
    assert texts("numeric", "a")[0] == "{NULL,1.10}"


def test_a_database_without_an_encoding_is_read(server: URL, tmp_path: Path) -> None:
    engine = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "create database bytes encoding 'SQL_ASCII' template template0 locale 'C'"
        )
    url = server.set(database="bytes")
    with extraction.open_engine(url, "values").begin() as connection:
        connection.exec_driver_sql("create table v (id text, at timestamp)")
        connection.exec_driver_sql(r"insert into v values (E'\xc3\xa9'), (E'\xe9')")
    source = Source(
        name="v",
        domain="values",
        load="add",
        format=DatabaseFormat(type="database", table="v", watermark="at"),
        columns=[Column(name="id"), Column(name="at", type="timestamp")],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRN_VALUES_DATABASE_URL", url.render_as_string(hide_password=False))
        delivery = extraction.extract(source, tmp_path).delivery
    assert delivery is not None
    assert pq.read_table(delivery.path)["id"].to_pylist() == ["é", r"\xe9"]
