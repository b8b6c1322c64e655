"""Every student that can be trained is answered for here as transformers does, token by token, with
this environment's transformers.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.prompt_template import PromptTemplate
from evaluation.engines.transformers_engine import TransformersEngine
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.inference.loading import load_model, load_tokenizer
from tests.evaluation.tiny_models import CHATML
from tests.trainer.students.models import STUDENTS, Student, save

NEW_TOKENS = 8
PROBLEMS = ("What is 2 + 3?", "Ada has 12345 pens and gives 7 of them away. How many are left?")


@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS, ids=lambda student: student.name)
def test_the_engine_gives_transformers_own_greedy_answers(student: Student, tmp_path: Path) -> None:
    # Templates that come with trl are not in this environment; the decoding does not depend on them.
    folder = save(replace(student, template=student.template or CHATML), tmp_path / "model")
    engine = TransformersEngine(
        str(folder),
        EngineConfig(device="cpu"),
        GenerationConfig(max_new_tokens=NEW_TOKENS),
        PromptTemplate(datetime.now(), None),
    )
    questions = [
        Question(text, text, "0", ({"role": "user", "content": text},)) for text in PROBLEMS
    ]
    answers: dict[str, ModelAnswer] = {}
    engine.answer(
        [SampleRequest(question, 0) for question in questions],
        lambda request, answer: answers.update({request.question.id: answer}),
        lambda tokens: None,
    )
    model = load_model(folder, torch.device("cpu"), torch.float32)
    for question in questions:
        reference = _greedy_text(model, folder, engine.prompt(question))
        assert answers[question.id].text.endswith(reference)
    engine.close()


def _greedy_text(model: torch.nn.Module, folder: Path, prompt: str) -> str:
    """The likeliest next tokens, each from the whole text anew, up to an end token."""
    tokens = load_tokenizer(folder)
    ids = tokens(prompt, add_special_tokens=False)["input_ids"]
    answer: list[int] = []
    for _ in range(NEW_TOKENS):
        input_ids = torch.tensor([[*ids, *answer]])
        with torch.inference_mode():
            logits = model(input_ids=input_ids, use_cache=False).logits[0, -1]
        token = int(logits.argmax())
        if token == tokens.eos_token_id:
            break
        answer.append(token)
    text: str = tokens.decode(answer, skip_special_tokens=False)
    return text
