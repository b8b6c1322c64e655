"""Exports: what is chosen, what other programs read, held-out problems, repairs, cards, hubs
that refuse.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from generator.export import Export
from generator.export.selection import ExportChoice
from shared.errors import CannotWrite, InputError
from tests.generator.corpora import trace, write_corpus
from tests.generator.process_runs import environment, generator


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty problems, each with three kept samples of growing length and n wrong ones."""
    traces = []
    for n in range(40):
        problem = f"What is {n} + 4?"
        gold = str(n + 4)
        source = f"made/{'even' if n % 2 == 0 else 'odd'}"
        traces += [
            trace(problem, s, gold, gold, tokens=100 * (s + 1) + n, source=source) for s in range(3)
        ]
        traces += [trace(problem, 3 + s, str(n), gold, source=source) for s in range(n % 4)]
    return write_corpus(tmp_path / "corpus", traces)


def chat_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(corpus: Path, out: Path, **keys: Any) -> list[dict[str, Any]]:
    Export(corpus, ExportChoice(**keys)).to(str(out))
    return list(pq.read_table(out).to_pylist())


def test_the_chat_export_is_the_contracts_training_view(corpus: Path, tmp_path: Path) -> None:
    output = Export(corpus, ExportChoice(pick="first")).to(str(tmp_path / "x.jsonl"))
    rows = chat_rows(tmp_path / "x.jsonl")
    assert len(rows) == 40
    assert set(rows[0]) == {"messages"}
    user, assistant = rows[0]["messages"]
    assert user == {"role": "user", "content": "What is 0 + 4?\nPlease reason."}
    assert assistant["role"] == "assistant"
    assert assistant["content"].startswith("<think>\nOkay, so I add")
    assert assistant["content"].endswith("\n</think>\n\nThe answer is \\boxed{4}.")
    assert "40 traces of 40 problems; left: another sample of the problem 80" in output


@pytest.mark.parametrize(
    ("keys", "lengths"),
    [
        ({"pick": "shortest"}, {1: 40}),
        ({"pick": "longest"}, {3: 40}),
        ({"pick": "all"}, {1: 40, 2: 40, 3: 40}),
        ({"max_tokens": 299}, {1: 40, 2: 40}),
        ({"min_tokens": 200, "pick": "first"}, {2: 40}),
        ({"sources": frozenset({"even"})}, {1: 20, 2: 20, 3: 20}),
        ({"pass_rate": (0.9, 1.0), "pick": "first"}, {1: 10}),
        ({"pass_rate": (0.0, 0.55), "pick": "first"}, {1: 10}),
    ],
)
def test_what_is_chosen(
    corpus: Path, tmp_path: Path, keys: dict[str, Any], lengths: dict[int, int]
) -> None:
    rows = table(corpus, tmp_path / "x.parquet", **keys)
    assert Counter(row["completion_tokens"] // 100 for row in rows) == lengths


def test_mixed_takes_short_and_long_samples_one_a_problem(corpus: Path, tmp_path: Path) -> None:
    rows = table(corpus, tmp_path / "x.parquet", pick="mixed")
    kinds = Counter(row["completion_tokens"] // 100 for row in rows)
    assert len({row["problem_id"] for row in rows}) == len(rows) == 40
    assert kinds[1] > 8
    assert kinds[3] > 8
    assert kinds[2] == 0


def test_the_parquet_export_has_pass_rates_and_parts(corpus: Path, tmp_path: Path) -> None:
    rows = table(corpus, tmp_path / "x.parquet", pick="first")
    rates = {row["problem"]: row["pass_rate"] for row in rows}
    assert [rates[f"What is {n} + 4?"] for n in range(4)] == [1.0, 0.75, 0.6, 0.5]
    assert rows[0]["messages"][1]["content"].endswith(rows[0]["response"])
    assert rows[0]["repaired"] is False


def test_flagged_traces_are_dropped_only_if_asked(tmp_path: Path) -> None:
    corpus = write_corpus(
        tmp_path / "c",
        [trace("One?"), trace("Two?", flags=["loop"]), trace("Three?", flags=["refusal"])],
    )
    assert len(table(corpus, tmp_path / "a.parquet")) == 3
    assert len(table(corpus, tmp_path / "b.parquet", drop_flags=frozenset({"loop"}))) == 2


def test_held_out_problems_have_no_trace_in_an_export_and_make_an_evaluation_file(
    corpus: Path, tmp_path: Path
) -> None:
    rows = table(corpus, tmp_path / "x.parquet", held_out=0.2, seed=3)
    held_out_rows = chat_rows(tmp_path / "x.held-out.jsonl")
    assert len(held_out_rows) == 8
    assert set(held_out_rows[0]) == {"problem", "answer", "source"}
    assert not {row["problem"] for row in held_out_rows} & {row["problem"] for row in rows}
    assert {row["problem"] for row in held_out_rows} | {row["problem"] for row in rows} == {
        f"What is {n} + 4?" for n in range(40)
    }
    assert (corpus / "held-out.jsonl").read_bytes() == (tmp_path / "x.held-out.jsonl").read_bytes()
    table(corpus, tmp_path / "y.parquet", held_out=0.2, seed=3)
    assert chat_rows(tmp_path / "y.held-out.jsonl") == held_out_rows


def test_repairs_are_only_made_when_asked_for(tmp_path: Path) -> None:
    wrong = [trace("What is 2 + 5?", s, "7", "8") for s in range(4)]
    corpus = write_corpus(tmp_path / "c", [trace("One?"), *wrong])
    assert len(table(corpus, tmp_path / "a.parquet")) == 1
    output = Export(corpus, ExportChoice(), repair=True).to(str(tmp_path / "b.parquet"))
    rows = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert "1 suspect golds repaired, 4 traces" in output
    assert [(row["gold"], row["verdict"]) for row in rows if row["repaired"]] == [
        ("7", "correct")
    ] * 4
    assert not next(row for row in rows if row["problem"] == "One?")["repaired"]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)
def test_load_dataset_reads_both_exports(corpus: Path, tmp_path: Path) -> None:
    Export(corpus, ExportChoice()).to(str(tmp_path / "x.jsonl"))
    Export(corpus, ExportChoice(held_out=0.1)).to(f"{tmp_path}/set/")
    program = (
        "import sys, datasets\na = datasets.load_dataset('json', data_files=sys.argv[1],"
        " split='train')\nb = datasets.load_dataset('parquet', data_files=sys.argv[2],"
        " split='train')\nc = datasets.load_dataset(sys.argv[3], split='train')\nd ="
        " datasets.load_dataset('json', data_files=sys.argv[3] + '/held-out.jsonl',"
        " split='train')\nprint(len(a), len(b), len(c), len(d), a.column_names)"
    )
    paths = [tmp_path / "x.jsonl", tmp_path / "set/data/train.parquet", tmp_path / "set"]
    out = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1"),
    )
    assert out.returncode == 0, out.stderr[-600:]
    assert out.stdout.split()[:4] == ["120", "108", "108", "4"]


def test_the_card_tells_teacher_counts_licence_and_decontamination(
    corpus: Path, tmp_path: Path
) -> None:
    (corpus / "screening").mkdir()
    summary = {
        "rows": 50,
        "evaluation_problems": 500,
        "copies": {"MATH-500, near text": 3},
        "other_numbers": {"MATH-500": 9},
    }
    (corpus / "screening" / "state.json").write_text(json.dumps({"summary": summary}))
    Export(corpus, ExportChoice(), licence="mit").to(f"{tmp_path}/my-set/")
    card = (tmp_path / "my-set/README.md").read_text()
    assert "license: mit" in card
    assert "# my-set\n\n120 verified" in card
    for words in (
        "teacher (120)",
        "made/even | 60",
        "near text | 3",
        "3 copies were left out",
        "| MATH-500 | 9 |",
    ):
        assert words in card


@pytest.mark.parametrize(
    ("dest", "words"),
    [
        ("traces.csv", "write x.jsonl, x.parquet, a folder"),
        ("hf:justaname", "write hf:OWNER/NAME"),
        ("modelscope:a/b/c", "write modelscope:OWNER/NAME"),
    ],
)
def test_an_unknown_destination_is_one_line(corpus: Path, dest: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Export(corpus, ExportChoice()).to(dest)


def test_nothing_to_export_says_why(corpus: Path) -> None:
    with pytest.raises(InputError, match="no trace to export \\(source 120\\): loosen the choice"):
        Export(corpus, ExportChoice(sources=frozenset({"nosuch"})))


def test_a_full_disk_leaves_no_half_export(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom generator.export import Export\nfrom"
        " generator.export.selection import ExportChoice\nfrom shared.errors import"
        " CannotWrite\nresource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))\ntry:\n   "
        " Export(Path(sys.argv[1]), ExportChoice()).to(sys.argv[2])\nexcept CannotWrite as stop:\n   "
        " print(stop)"
    )
    command = [sys.executable, "-c", program, str(corpus), str(tmp_path / "out/x.jsonl")]
    variables = environment(measured=False)
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    assert "free some space" in out.stdout
    assert os.listdir(tmp_path / "out") == []
    assert CannotWrite.exit_code == 5


def test_the_command_line_exports_and_names_a_wrong_flag(corpus: Path, tmp_path: Path) -> None:
    dest = tmp_path / "x.jsonl"
    process = exported(
        corpus, dest, "--pick", "shortest", "--drop-flags", "all", "--pass-rate", "0.5:1"
    )
    assert (process.returncode, len(chat_rows(dest))) == (0, 40)
    wrong = exported(corpus, dest, "--drop-flags", "loops")
    assert wrong.returncode == 2
    assert "'loops' is no flag" in wrong.stderr


@pytest.mark.parametrize(
    "name", ["traces/shard-000000.jsonl", "x.jsonl", "x.parquet", "traces/", "", "set/"]
)
def test_no_export_is_written_into_a_corpus(corpus: Path, name: str) -> None:
    before = contents(corpus)
    process = exported(corpus, f"{corpus}/{name}", "--force")
    assert process.returncode == 2
    assert "inside the corpus" in process.stderr
    assert process.stderr.count("\n") == 1
    assert contents(corpus) == before


def test_an_export_replaces_its_own_files_and_asks_for_force_at_others(
    corpus: Path, tmp_path: Path
) -> None:
    own = [tmp_path / "x.jsonl", tmp_path / "x.parquet", tmp_path / "set"]
    for _ in range(2):
        for dest in own:
            assert (
                exported(
                    corpus, f"{dest}/" if dest.suffix == "" else dest, "--held-out", "0.1"
                ).returncode
                == 0
            )
    for name in ("x.held-out.jsonl", "x.parquet", "set/README.md", "set/data/train.parquet"):
        foreign_file = tmp_path / name
        foreign_file.write_text("written by hand")
        dest = tmp_path / ("x.jsonl" if "held" in name else "set/" if "set" in name else name)
        process = exported(corpus, f"{dest}/" if dest.is_dir() else dest, "--held-out", "0.1")
        assert process.returncode == 2
        assert str(foreign_file) in process.stderr
        assert foreign_file.read_text() == "written by hand"
        assert (
            exported(
                corpus, f"{dest}/" if dest.is_dir() else dest, "--held-out", "0.1", "--force"
            ).returncode
            == 0
        )


def test_exports_can_be_read_by_everybody_and_a_corpus_by_its_owner(
    corpus: Path, tmp_path: Path
) -> None:
    umask = os.umask(0o022)
    try:
        Export(corpus, ExportChoice(held_out=0.1)).to(str(tmp_path / "x.jsonl"))
        Export(corpus, ExportChoice()).to(f"{tmp_path}/set/")
    finally:
        os.umask(umask)
    assert {
        path.stat().st_mode & 0o777
        for path in (*tmp_path.glob("x.*"), *tmp_path.glob("set/**/*.*"))
    } == {0o644}
    assert {path.stat().st_mode & 0o077 for path in (corpus, *corpus.rglob("*"))} == {0}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def exported(corpus: Path, dest: object, *flags: str) -> subprocess.CompletedProcess[str]:
    return generator("export", corpus, str(dest), *flags)
