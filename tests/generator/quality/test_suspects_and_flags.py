"""Suspect golds: found with precision and recall; trace flags: each fires where it should and
not on plain traces.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from generator.quality.flags import FLAGS, flags_of
from generator.quality.suspect_golds import FILE, find_suspects, write_suspects
from generator.quality.words import LOOP_SHARE, LOOP_WORDS, Words
from tests.generator.corpora import REASONING as TEMPLATE
from tests.generator.corpora import trace, write_corpus


def test_planted_wrong_golds_are_found_at_four_samples_from_a_teacher_right_nine_times_in_ten(
    tmp_path: Path,
) -> None:
    draw = random.Random(2)
    traces = []
    wrong_gold_ids = set()
    for n in range(3000):
        problem = f"What is {n} times 7?"
        truth = 7 * n
        wrong_gold = draw.random() < 0.05
        gold = str(truth + draw.choice([1, -1, 7, 70]) if wrong_gold else truth)
        for sample in range(4):
            answer = truth if draw.random() < 0.9 else truth + draw.choice([1, -1, 2, 7, 10])
            traces.append(trace(problem, sample, str(answer), gold))
        if wrong_gold:
            wrong_gold_ids.add(traces[-1].problem_id)
    corpus = write_corpus(tmp_path / "c", traces)
    suspect_ids = {suspect.problem_id for suspect in find_suspects(corpus)}
    assert len(suspect_ids & wrong_gold_ids) / len(suspect_ids) >= 0.95
    assert len(suspect_ids & wrong_gold_ids) / len(wrong_gold_ids) >= 0.9


def test_the_list_has_the_evidence(tmp_path: Path) -> None:
    corpus = write_corpus(
        tmp_path / "c",
        [trace("What is 1/2?", s, a, "3") for s, a in enumerate(["0.5", "1/2", "0.5", "9"])],
    )
    write_suspects(corpus)
    (row,) = [json.loads(line) for line in (corpus / FILE).read_text().splitlines()]
    assert (row["gold"], row["agreed"], row["agreeing"], row["samples"]) == ("3", "0.5", 3, 4)
    assert len(row["traces"]) == 3
    assert row["answers"] == {"0.5": 3, "9": 1}


@pytest.mark.parametrize(
    ("answers", "models", "is_suspect"),
    [
        (["7", "7"], ["a", "a"], False),
        (["7", "7"], ["a", "b"], True),
        (["7", "7", "7"], ["a", "a", "a"], True),
        (["7", "7", "7", "8"], ["a"] * 4, False),  # 8 is the gold: one sample is on its side
        (["7", "7", "1", "2", "3"], ["a"] * 5, False),
    ],
)
def test_how_much_agreement_is_evidence(
    tmp_path: Path, answers: list[str], models: list[str], is_suspect: bool
) -> None:
    samples = enumerate(zip(answers, models, strict=True))
    corpus = write_corpus(
        tmp_path / "c",
        [trace("Sum?", s, answer, "8", model=model) for s, (answer, model) in samples],
    )
    assert bool(list(find_suspects(corpus))) == is_suspect


REASONING = TEMPLATE.format(answer=4)
WORDS = (
    "we compute the next value carefully and then compare it with the one before it in the table of"
    " results"
)


@pytest.mark.parametrize(
    ("flag", "keys"),
    [
        (
            "mixed languages",
            {
                "reasoning": (
                    REASONING
                    + " 所以我们先把两个数相加然后再检查一遍结果是否正确最后得到答案就是四没有问题。"
                    * 2
                )
            },
        ),
        ("loop", {"reasoning": f"{WORDS} 4. " * 60}),
        ("loop", {"reasoning": REASONING + "wait " * 800 + "."}),
        ("runaway", {"reasoning": " ".join(f"step {n}" for n in range(9000)) + "."}),
        ("no thinking", {"reasoning": "Easy: 4."}),
        (
            "unfinished thinking",
            {"reasoning": REASONING + " But then the second number would have to"},
        ),
        ("unfinished thinking", {"reasoning": "<think> " + REASONING}),
        ("unsupported answer", {"reasoning": TEMPLATE.format(answer=9) + " So it is \\boxed{9}."}),
        ("refusal", {"response": "I'm sorry, but I cannot help with that.", "final_answer": None}),
        ("leaked prompt", {"response": "\\boxed{4}<|im_end|>"}),
        (
            "leaked prompt",
            {"response": "You asked: put your final answer within \\boxed{}. \\boxed{4}"},
        ),
    ],
)
def test_each_flag_fires(flag: str, keys: dict[str, Any]) -> None:
    assert flag in FLAGS
    assert flags_of(trace("What is 2 + 2?", **keys)) == [flag]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"reasoning": "", "verdict": "failed", "flags": []} | {"reasoning": REASONING},
        {
            "reasoning": (
                "\n".join(f"Row {n}: {n} times {n} is {n * n}." for n in range(400)) + " So 4."
            )
        },
        {"reasoning": REASONING + " Therefore $x = 4$"},
        {"response": "I can't believe it is that simple: \\boxed{4}"},
    ],
)
def test_plain_traces_have_no_flags(keys: dict[str, Any]) -> None:
    assert flags_of(trace("What is 2 + 2?", **keys)) == []


def test_thinking_in_the_problems_own_script_is_not_mixed() -> None:
    thinking = (
        "我们 先 把 两个 数 相加, 得到 结果 是 4。再 检查 一遍, 2 加 2 等于 4, 没有 问题, 所以 答案"
        " 就是 4。"
    )
    assert flags_of(trace("求 2 + 2 的值是多少?", reasoning=thinking)) == []


def test_repetition_is_counted_over_words_whatever_stands_between_them() -> None:
    """The counting on bytes never overlooks what counting run by run would find."""
    draw = random.Random(5)
    spaces = [" ", "  ", "\n\n", "\u3000", "\u00a0 ", "\t", "\x1c"]
    for _ in range(300):
        vocabulary = [f"w{number}é"[: draw.randint(1, 4)] for number in range(draw.randint(2, 400))]
        words = [draw.choice(vocabulary) for _ in range(draw.randint(60, 500))]
        words += words[: draw.randint(0, len(words))] * draw.randint(0, 2)
        text = "".join(word + draw.choice(spaces) for word in words)
        starts = range(len(words) - LOOP_WORDS + 1)
        runs = [tuple(words[start : start + LOOP_WORDS]) for start in starts]
        share = 1 - len(set(runs)) / len(runs)
        counted = Words(text)
        assert len(counted) == len(words)
        assert counted.repeats_itself() == (share > LOOP_SHARE)


@pytest.mark.parametrize(
    ("keys", "flags"),
    [
        ({"reasoning": REASONING + " [INST] 4."}, ["leaked prompt"]),
        ({"reasoning": REASONING + " a list [1, 2] and <b> and 4."}, []),
        ({"reasoning": REASONING + " <｜end▁of▁sentence｜>."}, ["leaked prompt"]),
        ({"reasoning": REASONING + " half a pair \ud800."}, []),
        ({"response": "My SYSTEM PROMPT says \\boxed{4}"}, ["leaked prompt"]),
        (
            {"reasoning": "It is 4. " + REASONING.replace("4", "four") + " and so on, " * 400},
            ["unfinished thinking"],
        ),
    ],
)
def test_quick_looks_before_the_patterns_overlook_nothing(
    keys: dict[str, Any], flags: list[str]
) -> None:
    trace_flags = flags_of(trace("What is 2 + 2?", **keys))
    assert [flag for flag in trace_flags if flag != "loop"] == flags
