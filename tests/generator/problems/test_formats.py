"""Data sets in the shapes in which they lie on people's disks, read to the same rows."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generator.config import ProblemsConfig
from generator.problems import ProblemStream, open_problems
from shared.errors import InputError
from shared.row_files import SUFFIXES, check_format, is_data_file, open_lines

ROWS: list[dict[str, Any]] = [
    {"problem": "What is 20 plus 22?", "answer": "42"},
    {"problem": 'Two lines,\n"quotes" and 中文?', "answer": "7"},
    {"problem": "x" * 200_000, "answer": "1"},  # longer than csv's own limit of a field
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """`rows` in the format that the file's name says."""
    name = path.name
    encoding = "utf-16" if name.startswith("utf-16") else "utf-8"
    if ".csv" in name or ".tsv" in name:
        plain = path.with_suffix(".plain")
        with plain.open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(
                file, ["problem", "answer"], delimiter="\t" if ".tsv" in name else ","
            )
            writer.writeheader()
            writer.writerows(rows)
        content = plain.read_bytes()
        plain.unlink()
    elif ".jsonl" in name or ".ndjson" in name:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        content = text.encode(encoding)
    else:
        content = json.dumps(rows, indent=1, ensure_ascii=False).encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    with open_lines(path) as file:
        return [json.loads(line.decode("utf-8-sig")) for line in file if line.strip()]


@pytest.mark.parametrize(
    "name",
    [
        "rows.jsonl",
        "rows.ndjson",
        "rows.json",
        "array.jsonl",
        "rows.csv",
        "rows.tsv",
        "rows.jsonl.gz",
        "rows.json.gz",
        "rows.csv.gz",
        "utf-16.jsonl",
        "utf-16.json",
        "utf-16.csv",
        "ROWS.JSONL.GZ",
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name.lower())
    if name == "array.jsonl":
        path.write_text(json.dumps(ROWS))
    path = path.rename(tmp_path / name)
    assert is_data_file(path)
    assert rows_of(path) == ROWS


def test_json_lines_in_utf8_are_read_where_they_lie(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    with open_lines(path) as file:
        assert file.name == str(path)
    assert rows_of(path) == ROWS


def test_utf16_without_a_byte_order_mark_is_recognised(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    for encoding in ("utf-16-le", "utf-16-be"):
        path = tmp_path / f"{encoding}.jsonl"
        path.write_bytes(text.encode(encoding))
        assert rows_of(path) == ROWS


def test_numbers_stay_numbers_in_an_array(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.write_text('[{"answer": 42, "difficulty": 4.5, "big": 123456789012345678901}]')
    (row,) = rows_of(path)
    assert row == {"answer": 42, "difficulty": 4.5, "big": 123456789012345678901}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("data.zip", "unpack it"),
        ("data.xlsx", "save it as CSV"),
        ("data.jsonl.zst", "zstd -d"),
        ("data.arrow", "to_parquet"),
        ("problems.txt", "JSON lines"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_the_remedy(
    tmp_path: Path, name: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=remedy) as refusal:
        check_format(tmp_path / name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("cut.json", b'[{"problem": "a"}, {"prob', r"damaged after row 1"),
        (
            "cut.jsonl.gz",
            gzip.compress(b'{"problem": "a"}\n' * 9000, mtime=0)[:-9],
            "damaged after row",
        ),
        ("no.jsonl.gz", b"not gzip at all", "damaged after row 0"),
        ("list.json", b'[{"problem": "a"}, 7]', "row 2 is a JSON"),
        (
            "lines.jsonl.gz",
            gzip.compress(b'{"problem": "a"}\nnot json\n', mtime=0),
            r"lines\.jsonl\.gz:2",
        ),
        ("half.jsonl", '{"problem": "a"}\n'.encode("utf-16")[:-1], "damaged after row"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_a_damaged_file_is_one_line_with_the_row(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=why) as refusal:
        rows_of(path)
    assert "\n" not in str(refusal.value)


def test_a_large_array_is_read_in_memory_that_does_not_grow(tmp_path: Path) -> None:
    """60 MB of JSON within 40 MB: the array is never held as a whole."""
    import subprocess
    import sys

    path = tmp_path / "large.json"
    row = json.dumps({"problem": "p" * 1000, "answer": "1"})
    with path.open("w") as file:
        file.write("[" + row)
        for _ in range(60_000):
            file.write(",\n" + row)
        file.write("]")
    script = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from shared.row_files import open_lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(1 for _ in open_lines(Path(sys.argv[1])))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parents[3]
    process = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=root
    )
    count, kilobytes = map(int, process.stdout.split())
    assert count == 60_001
    assert kilobytes < 40_000


def test_the_suffixes_are_those_that_the_documents_name() -> None:
    assert {".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz"} <= set(SUFFIXES)


VERL = {
    "data_source": "math_dapo",
    "prompt": [{"role": "user", "content": "What is 20 plus 22?"}],
    "ability": "MATH",
    "reward_model": {"ground_truth": "42", "style": "rule"},
    "extra_info": {"index": "1"},
}
DEEPMATH = {"question": "What is 20 plus 22?", "final_answer": "42", "r1_solution_1": "…"}
METAMATH = {
    "type": "GSM_Rephrased",
    "query": "What is 20 plus 22?",
    "response": "It is 42.\n#### 42\nThe answer is: 42",
}


def opened(source: Path, **keys: Any) -> ProblemStream:
    return open_problems(ProblemsConfig(source=str(source), **keys), needs_gold=True)


@pytest.mark.parametrize(
    "name", ["rows.json", "rows.csv", "rows.jsonl.gz", "utf-16.jsonl", "rows.tsv"]
)
def test_problems_come_out_of_every_format_in_the_order_of_the_seed(
    tmp_path: Path, name: str
) -> None:
    rows = [{"problem": f"What is {n} plus 1?", "answer": str(n + 1)} for n in range(50)]
    plain = write(tmp_path / "plain.jsonl", rows)
    other_path = write(tmp_path / name, rows)
    plain_problems = [(problem.text, problem.gold) for problem in opened(plain, seed=3)]
    assert [
        (problem.text, problem.gold) for problem in opened(other_path, seed=3)
    ] == plain_problems
    assert len(plain_problems) == 50


@pytest.mark.parametrize("row", [VERL, DEEPMATH, METAMATH], ids=["verl", "deepmath", "metamath"])
def test_a_known_data_set_needs_no_configuration_and_says_how_it_is_read(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    stream = opened(path)
    (problem,) = stream
    assert (problem.text, problem.gold) == ("What is 20 plus 22?", "42")
    assert "columns of" in stream.tally.in_words()[0]


def test_what_the_user_configures_wins_over_what_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**DEEPMATH, "final_answer": "41", "checked": "42"}) + "\n")
    (problem,) = opened(path, answer_field="checked")
    assert problem.gold == "42"


def test_dotted_fields_are_read_in_parquet_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([VERL]), path)
    (problem,) = opened(path)
    assert (problem.text, problem.gold) == ("What is 20 plus 22?", "42")


def test_a_folder_of_arrays_is_read_and_json_beside_json_lines_is_not(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    write(tmp_path / "arrays" / "train.json")
    assert len(list(opened(tmp_path / "arrays"))) == 3
    (tmp_path / "mixed").mkdir()
    write(tmp_path / "mixed" / "train.jsonl")
    (tmp_path / "mixed" / "dataset_infos.json").write_text('{"default": {}}')
    assert len(list(opened(tmp_path / "mixed"))) == 3


def test_a_folder_with_nothing_but_an_archive_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack it"):
        opened(tmp_path)


def test_a_source_of_which_no_row_can_be_read_is_refused_even_where_bad_rows_are_skipped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("not json\n[1]\n")
    with pytest.raises(InputError, match=r"none of its 2 rows could be read, the first: .*:1"):
        opened(path, on_bad_line="skip")
