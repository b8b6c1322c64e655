"""The answer cache over kills, torn lines and other models, against a dictionary."""

import shutil
import tempfile
from pathlib import Path

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evaluation.answer_cache import AnswerCache
from evaluation.records import ModelAnswer, Question, SampleRequest
from tests.machines import machine_settings

KEYS = st.sampled_from(["k1", "k2", "k3"])
NUMBERS = st.integers(0, 3)
PROMPTS = st.sampled_from(["p", "another"])
TEXTS = st.text(max_size=20)


def request(number: int, sample: int) -> SampleRequest:
    return SampleRequest(Question(f"q{number}", f"problem {number}", "1", ()), sample)


class AnswerCacheMachine(RuleBasedStateMachine):
    """Three keys, four questions, two samples, two prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="answers-machine-"))
        self.cache: AnswerCache | None = None
        self.key = ""
        # by key: what was written, in order, as (number, sample, prompt, text)
        self.written: dict[str, list[tuple[int, int, str, str]]] = {}

    @initialize(key=KEYS)
    def begin(self, key: str) -> None:
        self.open(key)

    def open(self, key: str) -> None:
        self.key = key
        self.cache = AnswerCache(self.folder, key)
        self.written.setdefault(key, [])

    def kill(self) -> None:
        assert self.cache is not None
        self.cache.close()

    @rule(number=NUMBERS, sample=st.integers(0, 1), prompt=PROMPTS, text=TEXTS)
    def write(self, number: int, sample: int, prompt: str, text: str) -> None:
        assert self.cache is not None
        self.cache.write(request(number, sample), prompt, ModelAnswer(text, "stop", 1, 2, 0.5))
        self.written[self.key].append((number, sample, prompt, text))

    @rule(key=KEYS)
    def start_again(self, key: str) -> None:
        self.kill()
        self.open(key)

    @precondition(lambda self: self.written[self.key])
    @rule(data=st.data())
    def start_again_after_a_torn_line(self, data: st.DataObject) -> None:
        """A power cut takes some of the last line."""
        self.kill()
        path = self.folder / "answers.jsonl"
        content = path.read_bytes()
        last_line = content.splitlines(keepends=True)[-1]
        lost = data.draw(st.integers(1, len(last_line)))
        path.write_bytes(content[: len(content) - lost])
        self.written[self.key].pop()
        self.open(self.key)

    @precondition(lambda self: self.written[self.key])
    @rule(
        data=st.data(),
        junk=st.sampled_from(
            [b"\0" * 50, b"[]", b"null", b'{"key": 1}', b"\xff", b'{"key": "k1"}']
        ),
    )
    def start_again_after_a_foreign_line(self, data: st.DataObject, junk: bytes) -> None:
        """An editor or a bad sector: never as the first line, which says whose file it is."""
        self.kill()
        path = self.folder / "answers.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        lines.insert(data.draw(st.integers(1, len(lines))), junk + b"\n")
        path.write_bytes(b"".join(lines))
        self.open(self.key)

    @invariant()
    def every_answer_is_the_one_that_was_written_last(self) -> None:
        if self.cache is None:
            return
        latest_texts = {(n, s, prompt): text for n, s, prompt, text in self.written[self.key]}
        for number in range(4):
            for sample in range(2):
                for prompt in ("p", "another"):
                    answer = self.cache.get(request(number, sample), prompt)
                    latest_text = latest_texts.get((number, sample, prompt))
                    assert (answer and answer.text) == latest_text

    @invariant()
    def every_line_is_whole_and_of_the_present_key(self) -> None:
        if self.cache is not None:
            lines = self.cache.path.read_bytes().splitlines()
            assert all(orjson.loads(line)["key"] == self.key for line in lines)

    def teardown(self) -> None:
        if self.cache is not None:
            self.kill()
        shutil.rmtree(self.folder)


AnswerCacheMachine.TestCase.settings = machine_settings(examples=20, steps=30)
TestAnswersOverCrashes = AnswerCacheMachine.TestCase
