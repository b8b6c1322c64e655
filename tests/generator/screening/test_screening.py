"""Screening: copies of evaluation problems in any style, duplicates in any order."""

import json
import random
import time
from pathlib import Path

import pytest

from benchmarks.disguise import disguise
from benchmarks.made_up import made_up
from generator.config import ProblemsConfig, ScreeningConfig
from generator.intake import Intake
from generator.problems import numina
from generator.problems.evaluation_sets import evaluation_texts
from generator.screening.duplicates import bands_for
from generator.screening.summary import COPY, DUPLICATE, NEAR_DUPLICATE, OTHER_NUMBERS
from shared.contamination import EvaluationIndex
from shared.contamination.text import squeeze, tokens
from shared.errors import InputError
from shared.records import Problem
from tests.generator.screening.intakes import screened, write_problems

LONG = (
    "Maria sells 12 jars of honey at the market every day for 3 weeks. How many jars of honey does"
    " she sell in all?"
)


@pytest.mark.parametrize(
    ("text", "styled_text"),
    [
        ("What is $\\dfrac{1}{2}$?", "what is \\(\\frac12\\) ?"),
        ("Compute $3 \\times 4$.", "COMPUTE: 3 × 4"),
        ("Find $x^2$ if $x \\le 3$.", "Find x² if x ≤ 3"),
        ("It costs $1,000.", "it costs \\$1{,}000"),
        ("The angle is $60^\\circ$.", "The angle is 60°"),
        ("Let $\\mathrm{area} = \\pi r^{2}$", "Let area = π r^2"),
        ("a well-known set", "a well known set"),
        ("Tom's 3 hats", "Toms 3 hats"),
        ("$\\left(1,\\,2\\right)$", "(1, 2)"),
        ("50\\% of 10", "50% of 10"),
        ("$\\sqrt{2} + \\sin\\theta$", "√2 + sin θ"),
        ("WHAT IS \\DFRAC{1}{2}?", "what is \\frac{1}{2}?"),
    ],
)
def test_style_makes_no_other_text(text: str, styled_text: str) -> None:
    assert squeeze(tokens(text)) == squeeze(tokens(styled_text))


@pytest.mark.parametrize(
    ("text", "other_text"),
    [
        ("What is 2 + 3?", "What is 2 - 3?"),
        ("Compute $\\sin 30$.", "Compute $\\cos 30$."),
        ("What is 12 3?", "What is 1 23?"),
        ("Find 3.5 of it", "Find 35 of it"),
        ("x < 3", "x > 3"),
    ],
)
def test_a_word_a_number_or_a_sign_makes_another_text(text: str, other_text: str) -> None:
    assert squeeze(tokens(text)) != squeeze(tokens(other_text))


@pytest.mark.parametrize("near", [0.0, 0.85])
def test_a_source_without_a_problem_has_nothing_to_screen(tmp_path: Path, near: float) -> None:
    texts, screening = screened(
        write_problems(tmp_path / "p.jsonl", []), tmp_path / "corpus", near_duplicates=near
    )
    assert (texts, screening.summary.rows) == ([], 0)


HOSTILE = (
    "(",
    "A ",
    "$\\text{",
    "as shown in the ",
    "[asy]",
    "![",
    "\\frac1",
    "1,",
    " ",
    "\\begin{asy}",
)


@pytest.mark.timing
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_holds_a_screening_up(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    index = EvaluationIndex({"eval": [LONG]})
    before = time.process_time()
    index.find(text)
    tokens(text)
    numina.why_skipped(text, text, text)
    assert (
        time.process_time() - before < 5
    )  # a second or less; one backtracking pattern takes minutes


@pytest.mark.slow
def test_disguised_evaluation_problems_are_found_among_many_others_and_few_others_are_flagged(
    tmp_path: Path,
) -> None:
    hidden = [made_up("evaluation", n) for n in range(1000)]
    training_texts = [made_up("training", n) for n in range(6000)]
    write_problems(tmp_path / "eval.jsonl", hidden)
    mixture = [(disguise(text, n), True) for n, text in enumerate(hidden)] + [
        (text, False) for text in training_texts
    ]
    random.Random(1).shuffle(mixture)
    source = write_problems(tmp_path / "x.jsonl", [text for text, _ in mixture])
    passed_texts = set(screened(source, tmp_path / "corpus", (str(tmp_path / "eval.jsonl"),))[0])
    missed_copies = [text for text, is_copy in mixture if is_copy and text in passed_texts]
    false_alarms = [text for text, is_copy in mixture if not is_copy and text not in passed_texts]
    assert len(missed_copies) <= 5, missed_copies[:3]
    assert len(false_alarms) <= 30, false_alarms[:3]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (LONG.upper(), "same text"),
        (LONG.replace("honey", "jam", 1), "near text"),
        (
            (
                f"Answer the following. {LONG} Also say how many days three weeks have, in words,"
                " and explain why."
            ),
            "contains it",
        ),
        (LONG.replace("12", "15").replace("3 weeks", "4 weeks"), "other numbers"),
        ("Maria bakes bread at home.", None),
    ],
)
def test_each_kind_of_copy_is_told_apart(text: str, kind: str | None) -> None:
    hit = EvaluationIndex({"eval": [LONG]}).find(text).hit
    assert (hit.kind if hit else None) == kind


def test_the_same_text_with_other_numbers_is_reported_and_only_left_out_if_asked_to(
    tmp_path: Path,
) -> None:
    evaluation = write_problems(tmp_path / "eval.jsonl", [LONG])
    variant = LONG.replace("12", "15")
    source = write_problems(tmp_path / "x.jsonl", [variant])
    texts, screening = screened(source, tmp_path / "a", (str(evaluation),))
    assert texts == [variant]
    assert screening.summary.other_numbers == {f"{tmp_path.name}/eval": 1}
    (evidence,) = [
        json.loads(line)
        for line in (tmp_path / "a/screening/excluded.jsonl").read_text().splitlines()
    ]
    assert (evidence["kind"], evidence["evaluation_problem"], evidence["copy"]) == (
        "other numbers",
        LONG,
        False,
    )
    texts, screening = screened(
        source, tmp_path / "b", (str(evaluation),), exclude_other_numbers=True
    )
    assert texts == []
    assert screening.summary.left_out == {OTHER_NUMBERS: 1, DUPLICATE: 0}


def test_duplicates_in_style_pass_once_and_different_golds_are_different_problems(
    tmp_path: Path,
) -> None:
    texts = [
        "What is $2+2$?",
        "what is 2 + 2",
        "What is $88 / 4 / 2$?",
        "What is 88/(4/2)?",
        "What is $2+2$?",
    ]
    source = write_problems(tmp_path / "x.jsonl", texts, ["4", "4", "11", "44", "4"])
    passed_texts, screening = screened(source, tmp_path / "corpus")
    assert len(passed_texts) == 3
    assert screening.summary.left_out == {DUPLICATE: 2}


def test_near_duplicates_need_equal_numbers_and_an_equal_gold(tmp_path: Path) -> None:
    near = LONG.replace("market every", "market on every")
    texts = [LONG, near, LONG.replace("12", "13"), near.replace("Maria", "Martha", 1)]
    source = write_problems(tmp_path / "x.jsonl", texts, ["252", "252", "273", "7"])
    passed_texts, screening = screened(source, tmp_path / "corpus", near_duplicates=0.7)
    assert set(passed_texts) == {
        min([LONG, near], key=lambda text: Problem.of(text, None, "").id),
        *texts[2:],
    }
    assert screening.summary.left_out[NEAR_DUPLICATE] == 1
    assert len(screened(source, tmp_path / "off", near_duplicates=0)[0]) == 4


def test_the_bands_find_pairs_at_the_threshold() -> None:
    for threshold in (0.5, 0.7, 0.8, 0.85, 0.9, 0.95):
        bands, rows = bands_for(threshold)
        assert bands * rows == 128
        assert 1 - (1 - threshold**rows) ** bands >= 0.98


@pytest.mark.slow
def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    texts = [made_up("training", n % 700) for n in range(1000)]
    texts = [disguise(text, n) if n % 3 == 0 else text for n, text in enumerate(texts)]
    evaluation = write_problems(
        tmp_path / "eval.jsonl", [made_up("training", n) for n in range(40)]
    )
    results = []
    for seed in range(3):
        shuffled_texts = random.Random(seed).sample(texts, len(texts))
        source = write_problems(tmp_path / f"{seed}.jsonl", shuffled_texts)
        passed_texts, screening = screened(source, tmp_path / f"corpus-{seed}", (str(evaluation),))
        ids = sorted(
            Problem.of(text, None, "").id for text in passed_texts
        )  # white space alone makes no other id
        results.append((ids, screening.summary.left_out, screening.summary.copies))
    assert results[0] == results[1] == results[2]
    assert results[0][1][COPY] >= 40
    assert 620 <= len(results[0][0]) <= 690


def test_a_stream_is_screened_as_it_comes_and_the_same_on_every_pass(tmp_path: Path) -> None:
    config = ProblemsConfig(source="synthetic:arithmetic", limit=400)
    plain = [
        problem.text for problem in Intake(config, ScreeningConfig(), tmp_path / "plain").open()
    ]
    evaluation = write_problems(tmp_path / "eval.jsonl", [disguise(text, 3) for text in plain[::4]])
    intake = Intake(
        config.model_copy(update={"exclude": (str(evaluation),)}),
        ScreeningConfig(),
        tmp_path / "corpus",
    )
    texts = [problem.text for problem in intake.open()]
    assert not set(plain[::4]) & set(texts)
    assert len(texts) == 400
    assert texts == [problem.text for problem in intake.open()]
    assert intake.screening.summary.left_out[COPY] >= 100


@pytest.mark.parametrize("name", ["gsm8k:test", "gsm8k", "MATH-500", "math_500", "aime24"])
def test_named_sets_are_read_from_a_folder_of_copies(tmp_path: Path, name: str) -> None:
    for place in (
        "gsm8k/test.jsonl",
        "gsm8k/train.jsonl",
        "math500/test.jsonl",
        "aime/aime24.jsonl",
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(json.dumps({"problem": place}) + "\n")
    (text,) = evaluation_texts(name, str(tmp_path))
    assert "".join(letter for letter in name.lower() if letter.isalnum())[:5] in text.replace(
        "/", ""
    )
    assert "train" not in text


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("gsm9k", "", "'gsm9k' is unknown: use gsm8k,"),
        ("missing.jsonl", "", "No such file or directory"),
        ("MATH-500", "{tmp}", "no copy of MATH-500 there"),
        ("MATH-500", "{tmp}/none", "is no folder"),
    ],
)
def test_an_evaluation_set_that_cannot_be_read_stops_with_its_name(
    tmp_path: Path, name: str, data: str, words: str
) -> None:
    with pytest.raises(InputError) as stop:
        evaluation_texts(name, data.format(tmp=tmp_path))
    assert words in str(stop.value)
    assert "problems.exclude" in str(stop.value) or "screening.data" in str(stop.value)
