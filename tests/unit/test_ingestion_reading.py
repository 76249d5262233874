"""Files as they arrive: what is read, what is refused, and where it says the fault is."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.ingestion.errors import RefusedError
from include.ingestion.reading import _skipping, open_file, snake_case
from include.ingestion.sources import Checks, Column, CsvFormat, ParquetFormat, Source
from include.ingestion.validation import validate
from include.warehouse.connection import REPOSITORY

COLUMNS = [
    Column(name="id", nullable=False),
    Column(name="country_code", aliases=("Land",)),
    Column(name="note"),
]


def source(**more: Any) -> Source:
    given = {"name": "t", "load": "append", "columns": COLUMNS, "chunk_rows": 3}
    return Source(**given | more).model_copy(update={"domain": "d"})


def read(path: Path, declared: Source) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The good rows and the rejects of a file."""
    good, rejects, delivered, rejected = [], [], 0, 0
    with open_file(declared, path) as opened:
        for chunk in opened.chunks:
            part = validate(declared, tuple(opened.columns), chunk, typed=opened.typed)
            good += part.good.to_pylist()
            rejects += part.rejects.to_pylist()
            delivered += part.delivered
            rejected += part.rejected
    assert delivered == len(good) + rejected
    assert rejected == len({reject["row_number"] for reject in rejects})
    return good, rejects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.csv"


HEADER = b"id,country_code,note\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"id,country_code,note\n", "line 2: there is a header and no row"),
        (b"id,country_code,note", "there is a header and no row"),
        (b"id,country_code,note\n\n\n", "there is a header and no row"),
        (b"\n1,2,3\n", "line 1: the header is an empty line"),
        (b"id;country_code;note\n1;2;3\n", "line 1: the columns are separated by ';' where ','"),
        (b"id\tcountry_code\tnote\n1\t2\t3\n", "separated by '\\\\t'"),
        (b"id,note\n1,2\n", "line 1: column country_code is missing"),
        (b"id,kountry,note\n1,2,3\n", "country_code is missing (there is kountry instead)"),
        (b"id,country_code,note,extra\n1,2,3,4\n", "line 1, column 4: column extra is unknown"),
        (b"id,country_code,note,id\n1,2,3,4\n", "line 1, column 4: id stands twice"),
        (b"id,country_code,note,\n1,2,3,\n", "line 1: the header ends with a delimiter, so that"),
        (b"id,,country_code,note\n1,,2,3\n", "line 1: column 2 has no name"),
        (b"id,CountryCode,note,Land\n1,2,3,4\n", "column 4: country_code stands twice"),
        (b'id,country_code,"note\n1,2,3\n', "line 1: a quote in the header is not closed"),
        (HEADER + b'1,2,3\n4,"5,6\n7,8,9\n', "line 3, column country_code: a quoted value begins"),
        (HEADER + b'1,2,"3', "line 2, column note: a quoted value begins"),
        (HEADER + b'1,2,3\n4,5,5" pipe\n', "line 3, column note: there is a quote inside a value"),
        (HEADER + b'1,"2"x,3\n', "line 2, column country_code: there is a quote inside"),
        (HEADER + b"1,2,3\n4,\x005,6\n", "line 3, column country_code: there is a NUL byte"),
        (HEADER + b"1,2,3\n4,Z\xfcrich,6\n", "line 3, column country_code: byte 0xfc is not utf-8"),
        (HEADER + b"1,2,3\r4,5,6\n", "line 2, column note: there is a carriage return"),
        (HEADER.decode().encode("utf-16"), "line 1: the file is UTF-16"),
        (b"PAR1" + b"\x00" * 50 + b"\n", "NUL byte"),
        (b"," * 1_000_000 + b"\n1,2,3\n", "there are 1,000,001 columns where 3 are declared"),
        (HEADER + b"1,2,3\n" + b"x" * 2_000_000 + b"\n", "line 3: the line is longer than"),
        (HEADER + b"1,2,3\n" + b"x" * 9_000_000, "line 3: the line is longer than"),
        (b"x" * 9_000_000, "line 1: the line is longer than"),
    ],
)
def test_a_broken_file_is_refused_with_file_line_and_column(
    file: Path, content: bytes, said: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(RefusedError) as refused:
        read(file, source())
    sentence = refused.value.sentence(file.name)
    assert sentence.startswith("some.csv")
    assert said.replace("\\\\", "\\") in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 400


@pytest.mark.parametrize("place", [1, 3, 70_000])
def test_a_fault_is_found_at_its_line_wherever_it_is(file: Path, place: int) -> None:
    lines = [b"%d,some country,a note of some length" % number for number in range(80_000)]
    lines[place] = b'7,"x,y'
    file.write_bytes(HEADER + b"\n".join(lines))
    with pytest.raises(RefusedError) as refused:
        read(file, source(chunk_rows=10_000))
    assert refused.value.line == place + 2
    assert refused.value.column == "country_code"


@pytest.mark.parametrize(
    "content",
    [
        b"id,country_code,note\n1,DE,x\n2,,y\n",
        b"\xef\xbb\xbfid,country_code,note\n1,DE,x\n2,,y\n",
        b"id,country_code,note\r\n1,DE,x\r\n2,,y\r\n",
        b"id,country_code,note\n1,DE,x\n2,,y",
        b"Id,CountryCode,Note\n1,DE,x\n2,,y\n",
        b" id , Country Code,NOTE\n1,DE,x\n2,,y\n",
        b"id,Land,note\n1,DE,x\n2,,y\n",
        b'"id","country_code","note"\n"1","DE","x"\n"2",,"y"\n',
        gzip.compress(b"id,country_code,note\n1,DE,x\n2,,y\n", mtime=0),
        b"note,id,country_code\nx,1,DE\ny,2,\n",
    ],
)
def test_the_same_rows_in_many_dresses(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    good, rejects = read(file, source())
    assert good == [
        {"id": "1", "country_code": "DE", "note": "x", "_row_number": 2},
        {"id": "2", "country_code": None, "note": "y", "_row_number": 3},
    ]
    assert rejects == []


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\0" * 30])
def test_damaged_gzip_is_refused(file: Path, damage: Any) -> None:
    text = HEADER + b"".join(b"%d,%d,x\n" % (number, number**3) for number in range(5000))
    file.write_bytes(damage(gzip.compress(text, mtime=0)))
    with pytest.raises(RefusedError, match="gzip data is cut off or damaged"):
        read(file, source())


def test_other_encodings_delimiters_and_quotes_are_read_as_declared(file: Path) -> None:
    file.write_bytes("id|country_code|note\n1|Zürich|'a|b'\n2|Öland|'it''s'\n".encode("cp1252"))
    layout = CsvFormat(delimiter="|", quote="'", encoding="cp1252")
    good, _ = read(file, source(format=layout))
    assert [(row["country_code"], row["note"]) for row in good] == [
        ("Zürich", "a|b"),
        ("Öland", "it's"),
    ]
    file.write_bytes("id,country_code,note\n1,Zürich,x\n".encode("utf-16"))
    assert read(file, source(format=CsvFormat(encoding="utf-16")))[0][0]["country_code"] == "Zürich"


def test_without_a_quote_character_quotes_are_text(file: Path) -> None:
    file.write_bytes(HEADER + b'1,5" pipe,"x\n')
    [row], _ = read(file, source(format=CsvFormat(quote=None)))
    assert (row["country_code"], row["note"]) == ('5" pipe', '"x')


def test_line_breaks_in_values_are_read_where_they_are_declared(file: Path) -> None:
    file.write_bytes(HEADER + b'1,a,"one\n\ntwo"\n\n2,b,"x\r\ny"\n3,c\n4,d,z\n')
    good, rejects = read(file, source(format=CsvFormat(newlines_in_values=True)))
    assert [row["note"] for row in good] == ["one\n\ntwo", "x\r\ny", "z"]
    assert [reject["raw_text"] for reject in rejects] == ["3,c"]
    file.write_bytes(HEADER + b'1,a,b\n2,"c,d\n3,e,f\n')
    with pytest.raises(RefusedError) as refused:
        read(file, source(format=CsvFormat(newlines_in_values=True)))
    assert refused.value.line == 3


def test_rows_of_a_wrong_width_are_rejected_with_their_line_and_the_others_load(file: Path) -> None:
    wide = b"," * 1_000_000
    file.write_bytes(HEADER + b"1,a,b\n2,a\n\n3,a,b\n" + wide + b"\n4,a,b\n5,a,b,c\n")
    good, rejects = read(file, source())
    assert [(row["id"], row["_row_number"]) for row in good] == [("1", 2), ("3", 5), ("4", 7)]
    assert [(reject["row_number"], reject["column_name"]) for reject in rejects] == [
        (3, None),
        (6, None),
        (8, None),
    ]
    assert rejects[0]["reason"] == "the row has 2 columns where the header has 3"
    assert rejects[1]["reason"] == "the row has 1,000,001 columns where the header has 3"
    assert len(rejects[1]["raw_text"]) == 10_000


def test_a_file_with_too_many_bad_rows_is_refused(file: Path) -> None:
    file.write_bytes(HEADER + b"1,a\n" * 11 + b"1,a,b\n")
    with pytest.raises(RefusedError, match="more than 10 rows are bad"):
        read(file, source(max_rejected_rows=10))


def test_all_empty_columns_apostrophes_and_emoji_are_just_text(file: Path) -> None:
    file.write_text("id,country_code,note\n1,,O'Brien \\ 🙂\n2,,100%\n", "utf-8")
    good, _ = read(file, source())
    assert [row["country_code"] for row in good] == [None, None]
    assert [row["note"] for row in good] == ["O'Brien \\ 🙂", "100%"]


def test_an_optional_column_may_be_absent_and_a_new_one_is_taken_where_allowed(file: Path) -> None:
    columns = [*COLUMNS[:2], Column(name="note", optional=True)]
    file.write_bytes(b"id,country_code,NewThing\n1,a,b\n")
    with open_file(source(columns=columns, allow_new_columns=True), file) as opened:
        assert opened.new_columns == ["new_thing"]
        [chunk] = opened.chunks
        assert chunk.table.to_pylist() == [{"id": "1", "country_code": "a", "new_thing": "b"}]
    file.write_bytes(b"id,country_code,drop table x\n1,a,b\n")
    with open_file(source(columns=columns, allow_new_columns=True), file) as opened:
        assert opened.new_columns == ["drop_table_x"]
    file.write_bytes(b'id,country_code,"x"";--"\n1,a,b\n')
    with pytest.raises(RefusedError, match="cannot be the name of a new column"):
        read(file, source(columns=columns, allow_new_columns=True))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["good", "short", "long", "blank", "missing"]),
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 7),
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_found_again_under_its_line_number(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], chunk_rows: int
) -> None:
    def written(kind: str, text: str) -> str:
        value = '"' + text.replace('"', '""') + '"'
        return {
            "good": f"1,a,{value}",
            "short": f"1,{value}",
            "long": f"1,a,b,{value}",
            "blank": "",
            "missing": f",a,{value}",
        }[kind]

    file = tmp_path_factory.mktemp("rows") / "some.csv"
    file.write_text("\n".join(["id,country_code,note", *(written(*row) for row in rows)]), "utf-8")
    declared = source(chunk_rows=chunk_rows)
    if all(kind == "blank" for kind, _ in rows):
        with pytest.raises(RefusedError):
            read(file, declared)
        return
    good, rejects = read(file, declared)
    numbered = list(enumerate(rows, start=2))
    assert [(row["_row_number"], row["note"]) for row in good] == [
        (number, text) for number, (kind, text) in numbered if kind == "good"
    ]
    assert sorted(reject["row_number"] for reject in rejects) == [
        number for number, (kind, _) in numbered if kind in ("short", "long", "missing")
    ]


@given(st.integers(1, 50), st.integers(0, 40), st.sets(st.integers(1, 99)))
def test_numbers_skip_the_gaps(first: int, count: int, gaps: set[int]) -> None:
    later = np.array(sorted(gap for gap in gaps if gap >= first), np.int64)
    expected = [number for number in range(first, first + 200) if number not in gaps][:count]
    assert _skipping(first, count, later).tolist() == expected


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("CountryCode", "country_code"),
        ("rawEarnings", "raw_earnings"),
        ("Marketing Source", "marketing_source"),
        ("HTTPStatus", "http_status"),
        ("already_snake", "already_snake"),
        ("DATE", "date"),
    ],
)
def test_headers_become_snake_case(header: str, name: str) -> None:
    assert snake_case(header) == name


# -- types and checks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "integer",
            {"1": 1, " -7 ": -7, "+3": 3},
            ["1.5", "x", "99999999999999999999", "", "+-5", "++5", "+"],
        ),
        (
            "number(6, 2)",
            {
                "1": Decimal("1.00"),
                "-1234.5": Decimal("-1234.50"),
                "0.10": Decimal("0.10"),
                ".5": Decimal("0.50"),
                "2.500": Decimal("2.50"),
            },
            ["12345", "1.234", "1,5", "x", ".", "1e3", "NaN"],
        ),
        ("float", {"1.5": 1.5, "-2e3": -2000.0}, ["x", "nan", "inf", "1,5"]),
        ("boolean", {"true": True, "No": False, "1": True}, ["2", "ja"]),
        ("date", {"2024-02-29": date(2024, 2, 29)}, ["2023-02-29", "29-02-2024", "x"]),
        (
            "timestamp",
            {
                "2024-01-02": datetime(2024, 1, 2),  # noqa: DTZ001
                "2024-01-02 03:04:05": datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001
                "2024-01-02T03:04:05.5Z": datetime(2024, 1, 2, 3, 4, 5, 500000),  # noqa: DTZ001
                "2024-01-02 03:04:05Z": datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001
                "2024-01-02 03:04:05.5+02": datetime(2024, 1, 2, 1, 4, 5, 500000),  # noqa: DTZ001
                "2024-01-02T03:04:05-0130": datetime(2024, 1, 2, 4, 34, 5),  # noqa: DTZ001
                "2024-01-02T03:04": datetime(2024, 1, 2, 3, 4),  # noqa: DTZ001
                "2024-01-02 03:04Z": datetime(2024, 1, 2, 3, 4),  # noqa: DTZ001
                "2024-01-02T03:04+02:00": datetime(2024, 1, 2, 1, 4),  # noqa: DTZ001
            },
            ["2024-13-01", "noon", "T2024-01-02", "2024-01-02T03", "2024-01-02T03:04:05+2"],
        ),
    ],
)
def test_text_becomes_its_type_or_is_rejected(
    file: Path, kind: str, good: dict[str, Any], bad: list[str]
) -> None:
    rows = [f'"{text}"' for text in [*good, *(text for text in bad if text)]]
    file.write_text("\n".join(["v,w", *(f"{row},x" for row in rows)]))
    columns = [Column(name="v", type=kind), Column(name="w")]
    loaded, rejects = read(file, source(columns=columns))
    assert [row["v"] for row in loaded] == list(good.values())
    assert len(rejects) == len([text for text in bad if text])
    assert all("' is not " in reject["reason"] for reject in rejects)


def test_every_failed_check_of_a_row_is_told_and_nulls_pass_where_they_may(file: Path) -> None:
    columns = [
        Column(name="n", type="integer", checks=Checks(min=1, max=5)),
        Column(name="s", checks=Checks(allowed=("a", "b"), max_length=3)),
        Column(name="p", checks=Checks(pattern="[A-Z]{2}", min_length=2)),
        Column(name="d", type="date", checks=Checks(min=date(2024, 1, 1))),
        Column(name="k", nullable=False),
    ]
    file.write_text(
        "n,s,p,d,k\n1,a,AB,2024-01-01,k\n,,,,k\n0,c,ABC,2023-12-31,\n6,b,A,2024-05-05,k\n"
    )
    good, rejects = read(file, source(columns=columns))
    assert [row["_row_number"] for row in good] == [2, 3]
    assert [
        (reject["row_number"], reject["column_name"], reject["reason"]) for reject in rejects
    ] == [
        (4, "n", "'0' is below 1"),
        (4, "s", "'c' is none of a, b"),
        (4, "p", "'ABC' does not match [A-Z]{2}"),
        (4, "d", "'2023-12-31' is below 2024-01-01"),
        (4, "k", "is missing"),
        (5, "n", "'6' is above 5"),
        (5, "p", "'A' does not match [A-Z]{2}"),
    ]
    assert rejects[0]["raw_text"] == "0,c,ABC,2023-12-31,"


def test_nothing_in_quotes_is_a_missing_number_and_an_empty_text(file: Path) -> None:
    columns = [
        Column(name="n", type="number(12, 2)"),
        Column(name="d", type="date", nullable=False),
        Column(name="s"),
    ]
    file.write_text('"n","d","s"\n"","2024-01-01",""\n"1","",""\n')
    good, rejects = read(file, source(columns=columns))
    assert [(row["n"], row["s"]) for row in good] == [(None, "")]
    assert [(one["column_name"], one["reason"]) for one in rejects] == [("d", "is missing")]


def test_raw_text_can_be_delivered_again(file: Path) -> None:
    columns = [Column(name="n", type="integer"), Column(name="s")]
    file.write_text('s,n\n"say ""hi"", you",x\n')
    _, [reject] = read(file, source(columns=columns))
    assert reject["raw_text"] == 'x,"say ""hi"", you"'
    file.write_text("n,s\n" + reject["raw_text"].replace("x", "1", 1) + "\n")
    [row], _ = read(file, source(columns=columns))
    assert row["s"] == 'say "hi", you'


# -- Parquet -----------------------------------------------------------------------------------

TYPED = [
    Column(name="id", type="integer", nullable=False),
    Column(name="price", type="number(8, 2)", checks=Checks(min=0)),
    Column(name="at", type="timestamp"),
    Column(name="tag", checks=Checks(allowed=("x", "y"))),
]


def parquet(**more: Any) -> Source:
    return source(format=ParquetFormat(), columns=TYPED, **more)


def table(**more: Any) -> pa.Table:
    columns = {
        "id": pa.array([1, 2, None, 4], pa.int32()),
        "price": pa.array([0.1, -1.0, 2.0, float("nan")]),
        "at": pa.array([datetime(2024, 1, 1)] * 4, pa.timestamp("ns", "UTC")),  # noqa: DTZ001
        "tag": pa.array(["x", "y", "x", "z"]).dictionary_encode(),
    }
    return pa.table(columns | more)


def test_parquet_is_typed_checked_and_numbered(tmp_path: Path) -> None:
    file = tmp_path / "some.parquet"
    pq.write_table(table(), file)
    good, rejects = read(file, parquet())
    assert good == [
        {
            "id": 1,
            "price": Decimal("0.10"),
            "at": datetime(2024, 1, 1),  # noqa: DTZ001
            "tag": "x",
            "_row_number": 1,
        }
    ]
    assert [(r["row_number"], r["column_name"]) for r in rejects] == [
        (2, "price"),
        (3, "id"),
        (4, "price"),
        (4, "tag"),
    ]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: table(id=pa.array(["1"] * 4)), "column id: the column is string where integer"),
        (lambda: table(at=pa.array(["1"] * 4)), "column at: the column is string where timestamp"),
        (lambda: table(tag=pa.array([1] * 4)), "column tag: the column is int64 where text"),
        (lambda: table().drop_columns(["price"]), "column price is missing"),
        (lambda: table(more=pa.array([1] * 4)), "column more is unknown"),
        (lambda: table().slice(0, 0), "columns and no row"),
    ],
)
def test_parquet_with_other_columns_is_refused(tmp_path: Path, made: Any, said: str) -> None:
    file = tmp_path / "some.parquet"
    pq.write_table(made(), file)
    with pytest.raises(RefusedError) as refused:
        read(file, parquet())
    assert said in refused.value.sentence(file.name)


@pytest.mark.parametrize("content", [b"", b"id,price\n1,2\n", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some.parquet"
    file.write_bytes(content)
    with pytest.raises(RefusedError, match=r"not Parquet|is empty"):
        read(file, parquet())


def test_damaged_parquet_pages_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.parquet"
    big = pa.table(
        {"id": range(50_000), "price": [1.5] * 50_000, "at": [None] * 50_000, "tag": ["x"] * 50_000}
    ).set_column(2, "at", pa.nulls(50_000, pa.timestamp("us")))
    pq.write_table(big, file, compression="snappy", use_dictionary=False)
    data = bytearray(file.read_bytes())
    data[200:5000] = b"\xff" * 4800
    file.write_bytes(data)
    with pytest.raises(RefusedError, match="Parquet data is damaged"):
        read(file, parquet())


# -- memory ------------------------------------------------------------------------------------

MOST_MEGABYTES = 384
"""The most memory that reading and validating a file may add to an idle process."""

MEASURE = """
import pathlib, re, sys
from include.ingestion.reading import open_file
from include.ingestion.sources import Source
from include.ingestion.validation import validate

def peak():
    # Not getrusage: its peak includes that of the parent process.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024

before = peak()
for path, declared in zip(sys.argv[1::2], sys.argv[2::2]):
    source = Source.model_validate_json(declared).model_copy(update={"domain": "d"})
    with open_file(source, pathlib.Path(path)) as opened:
        columns = tuple(opened.columns)
        parts = (validate(source, columns, one, typed=opened.typed) for one in opened.chunks)
        print(*map(sum, zip(*((part.good.num_rows, part.rejected) for part in parts))))
print(peak() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads memory usage from Linux's /proc"
)
def test_small_files_of_much_text_are_read_in_bounded_memory(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(3_000) % 2, pa.int32()), ["x" * 100_000, "y" * 100_000]
    )
    parquet = source(columns=[Column(name="v")], format=ParquetFormat(), chunk_rows=20_000)
    csv = source(columns=[Column(name="v"), Column(name="w")], chunk_rows=20_000)
    files = {}
    for name, stored in (("dictionary", True), ("plain", False)):
        pq.write_table(pa.table({"v": texts}), tmp_path / name, store_schema=stored)
        files[name] = parquet
    with gzip.open(tmp_path / "long bad rows", "wb", 1) as out:
        out.write(b"v,w\n" + (b"z" * 10_000 + b"\n") * 30_000 + b"1,2\n")
    files["long bad rows"] = csv
    arguments = [
        text
        for name, declared in files.items()
        for text in (str(tmp_path / name), declared.model_dump_json())
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    *rows, taken = done.stdout.splitlines()
    assert rows == ["3000 0", "3000 0", "1 30000"]
    assert int(taken) < MOST_MEGABYTES


def test_a_parquet_row_that_is_too_long_refuses_the_file_as_in_csv(tmp_path: Path) -> None:
    file = tmp_path / "some.parquet"
    declared = source(columns=[Column(name="v")], format=ParquetFormat(), max_row_bytes=1_000_000)
    many = pa.array(["a"] * 70 + ["b" * 1_000_001] + ["c"] * 70)
    pq.write_table(pa.table({"v": many}), file, use_dictionary=False)
    with pytest.raises(RefusedError, match="row 71 holds 1,000,001 bytes of text"):
        read(file, declared)
    # With a text for each row this would be 100 GB; the dictionary alone shows the length.
    code = pa.array([0] * 100_000, pa.int32())
    pq.write_table(pa.table({"v": pa.DictionaryArray.from_arrays(code, ["d" * 1_000_001])}), file)
    with pytest.raises(RefusedError, match="it holds a text of 1,000,001 bytes") as refused:
        read(file, declared.model_copy(update={"chunk_rows": 100_000}))
    assert refused.value.column == "v"


def test_row_numbers_hold_among_many_long_bad_ones(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.ingestion.reading.BYTES", 40_000)
    kinds = ["bad" if number % 7 and (number // 500) % 2 else "good" for number in range(6_000)]
    kinds[::100] = ["blank"] * 60
    lines = {"good": b"1,a,x", "bad": b"2," + b"y" * 300, "blank": b""}
    file.write_bytes(HEADER + b"\n".join(lines[kind] for kind in kinds) + b"\n")
    monkeypatch.setattr("include.ingestion.csv_text.PIECE_BYTES", 20_000)
    monkeypatch.setattr("include.ingestion.reading.MANY_BAD_ROWS", 300)
    good, rejects = read(file, source(chunk_rows=1_000))
    numbered = list(enumerate(kinds, start=2))
    assert [row["_row_number"] for row in good] == [n for n, kind in numbered if kind == "good"]
    assert [one["row_number"] for one in rejects] == [n for n, kind in numbered if kind == "bad"]
    assert {len(one["raw_text"]) for one in rejects} == {302, 250}


def test_a_parquet_file_of_many_row_groups_and_kinds_of_text_keeps_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.ingestion.reading.BYTES", 2_000)
    file = tmp_path / "some.parquet"
    texts = [None if row % 11 == 0 else "text " * (row % 40) for row in range(500)]
    columns = [Column(name=name) for name in ("a", "b", "c", "d_e")] + [
        Column(name="n", type="integer")
    ]
    delivered = pa.table(
        {
            "a": pa.array(texts),
            "b": pa.array(texts, pa.large_string()),
            "c": pa.array(texts).dictionary_encode(),
            "d.e": pa.array(texts[::-1]),
            "n": range(500),
        }
    )
    expected = delivered.rename_columns([column.name for column in columns]).to_pylist()
    for options in ({}, {"store_schema": False}, {"use_dictionary": False}):
        pq.write_table(delivered, file, row_group_size=90, **options)
        declared = source(columns=columns, format=ParquetFormat(), chunk_rows=64)
        good, rejects = read(file, declared)
        assert rejects == []
        assert [row.pop("_row_number") for row in good] == list(range(1, 501))
        assert good == expected
