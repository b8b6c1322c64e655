"""The answer cache: what counts, what is set aside, what a crash may leave."""

import threading
from pathlib import Path

import pytest

from evaluation.answer_cache import AnswerCache, cache_key
from evaluation.records import ModelAnswer, Question, SampleRequest
from tests.evaluation.conftest import rows_of


def request(number: int, sample: int = 0) -> SampleRequest:
    return SampleRequest(Question(f"q{number}", f"problem {number}", "1", ()), sample)


def answer(text: str) -> ModelAnswer:
    return ModelAnswer(text, "stop", 3, 4, 0.5)


def test_an_answer_counts_for_its_question_sample_and_prompt_only(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, "k1")
    cache.write(request(1), "prompt", answer("a"))
    cache.close()
    again = AnswerCache(tmp_path, "k1")
    assert again.get(request(1), "prompt") == answer("a")
    assert again.get(request(1), "another prompt") is None
    assert again.get(request(1, sample=1), "prompt") is None
    assert again.get(request(2), "prompt") is None
    again.close()


def test_a_torn_tail_is_cut_and_asked_again(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, "k1")
    for i in range(3):
        cache.write(request(i), "p", answer(str(i)))
    cache.close()
    whole = cache.path.read_bytes()
    for length in range(len(whole) - 1, len(whole) - 60, -7):
        cache.path.write_bytes(whole[:length])
        again = AnswerCache(tmp_path, "k1")
        assert [again.get(request(i), "p") for i in range(3)] == [answer("0"), answer("1"), None]
        again.write(request(2), "p", answer("2"))
        again.close()
        assert [row["text"] for row in rows_of(cache.path)] == ["0", "1", "2"]


def test_a_line_that_is_no_answer_is_taken_out_and_what_it_held_asked_again(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, "k1")
    for i in range(3):
        cache.write(request(i), "p", answer(str(i)))
    cache.close()
    line_1, line_2, line_3 = cache.path.read_bytes().splitlines(keepends=True)
    cache.path.write_bytes(
        line_1 + line_2[:40] + b"\n" + b"\0" * 99 + b"\n" + b'{"key": "k1"}\n' + line_3
    )
    again = AnswerCache(tmp_path, "k1")
    assert [again.get(request(i), "p") for i in range(3)] == [answer("0"), None, answer("2")]
    again.write(request(1), "p", answer("1"))
    again.close()
    assert [row["text"] for row in rows_of(cache.path)] == ["0", "2", "1"]


def test_answers_under_another_key_are_set_aside_and_come_back_with_it(tmp_path: Path) -> None:
    for key, text in (("k1", "a"), ("k2", "b"), ("k1", "")):
        cache = AnswerCache(tmp_path, key)
        cached_answer = cache.get(request(1), "p")
        if text:
            assert cached_answer is None
            cache.write(request(1), "p", answer(text))
        else:
            assert cached_answer == answer("a")
        cache.close()
    assert rows_of(tmp_path / "earlier/k2.jsonl")[0]["text"] == "b"


def test_several_threads_write_whole_lines(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, "k")
    threads = [
        threading.Thread(
            target=lambda t=t: [
                cache.write(request(t * 100 + i), "p", answer("x" * 5000)) for i in range(50)
            ]
        )  # type: ignore[misc]
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close()
    assert len({row["id"] for row in rows_of(cache.path)}) == 200


@pytest.mark.parametrize("change", [{"weights": "b"}, {"template": "u"}, {"max_new_tokens": 5}])
def test_the_key_follows_everything_that_decides_an_answer(change: dict[str, object]) -> None:
    identity = {"weights": "a", "template": "t", "max_new_tokens": 4}
    assert cache_key(identity) == cache_key(dict(reversed(identity.items())))
    assert cache_key(identity | change) != cache_key(identity)
