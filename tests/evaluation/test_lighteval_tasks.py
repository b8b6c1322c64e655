"""lighteval's own tasks as benchmarks: its prompts and metrics, our answers, cache and comparison."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nltk
import pytest
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
from lighteval.tasks.lighteval_task import LightevalTask
from lighteval.tasks.registry import Registry

from evaluation.__main__ import main
from evaluation.lighteval.named_tasks import load_task
from evaluation.lighteval.replacing import replaced
from evaluation.lighteval.task_names import TaskSpec, modules_of, parse_spec
from evaluation.lighteval.task_scores import missing_nltk_data
from evaluation.records import Benchmark, ModelAnswer, SampleRequest
from evaluation.scoring import Scorer
from shared.errors import InputError
from tests.evaluation.conftest import Endpoint, Reply, Script, rows_of, write_config

Serve = Callable[[Script], Endpoint]
COUNT = 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A local copy of GSM8K in its own columns."""
    folder = tmp_path / "data"
    for split in ("test", "train"):
        rows = [
            {
                "question": f"{split} {i}: what is {i} plus 1?",
                "answer": f"It is <<{i}+1={i + 1}>>.\n#### {i + 1}",
            }
            for i in range(COUNT)
        ]
        write_rows(folder / f"gsm8k/{split}.jsonl", rows)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def loaded(name: str, data: Path, limit: int = 0) -> Benchmark:
    return load_task(name, str(data), limit, "", lambda line: None)


def text_for(query: str) -> str:
    """What the scripted model says: every third answer is wrong, some think first."""
    number = int(query.split("test ")[1].split(":")[0])
    answer = number + 1 if number % 3 else number + 2
    thought = "<think>\nhm\n</think>\n\n" if number % 2 else ""
    return f"{thought}The answer is {answer}.\n\nQuestion: and what is 0 plus 0? It is 0."


class ScriptedModel(LightevalModel):
    """Answers lighteval's pipeline as the endpoint answers ours."""

    tokenizer = None  # type: ignore[assignment]
    add_special_tokens = False
    max_length = 4096

    def __init__(self) -> None:
        self.config = ModelConfig(model_name="scripted")
        self._cache = type("NoCache", (), {"_init_registry": lambda *_: None})()

    def greedy_until(self, docs: list[Any]) -> list[ModelResponse]:
        texts = [text_for(doc.query).split("Question:")[0] for doc in docs]
        return [ModelResponse(text=[text]) for text in texts]

    def loglikelihood(self, docs: list[Any]) -> list[ModelResponse]:
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def lightevals_own_score(task: str, data: Path, out: Path) -> float:
    """lighteval's pipeline alone on the same data and answers; only its data and the import of
    every task are kept from the network.
    """
    import lighteval.tasks.tasks.gsm8k as module

    def rows(task: Any) -> dict[str, list[dict[str, Any]]]:
        return {split: rows_of(data / f"gsm8k/{split}.jsonl") for split in ("test", "train")}

    def configs(custom_tasks: Any = None, load_multilingual: bool = False) -> dict[str, Any]:
        return dict(Registry._extract_configs(module))

    with (
        replaced(Registry, "load_all_task_configs", configs),
        replaced(LightevalTask, "download_dataset_worker", rows),
    ):
        pipeline = Pipeline(
            tasks=task,
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, remove_reasoning_tags=True
            ),
            evaluation_tracker=EvaluationTracker(output_dir=str(out)),
            model=ScriptedModel(),
        )
        pipeline.evaluate()  # type: ignore[no-untyped-call]
    results = pipeline.get_results()["results"]  # type: ignore[no-untyped-call]
    score: float = results["all"]["extractive_match"]
    return score


@pytest.mark.slow
def test_a_task_gets_the_score_that_lightevals_own_pipeline_gives_the_same_answers(
    serve: Serve, data: Path, tmp_path: Path
) -> None:
    def scripted(problem: str, model: str, _: int) -> Reply:
        return {"text": text_for(problem)}

    endpoint = serve(scripted)
    name = "lighteval:gsm8k|2"
    config = write_config(tmp_path / "c.toml", endpoint, ["base", "tuned"], name)
    command = ["run", str(config), "--set", f"data={data}"]
    assert main(command) == 0
    entry = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"][name]
    own_score = lightevals_own_score("gsm8k|2", data, tmp_path / "own")
    assert own_score == pytest.approx(8 / COUNT)
    assert (entry["n"], entry["base"]["accuracy"]) == (COUNT, pytest.approx(own_score))
    assert (entry["difference"], entry["base"]["no_box"]) == (0, 0)

    roles = [message["role"] for message in endpoint.bodies[0]["messages"]]
    assert roles == ["user", "assistant"] * 2 + ["user"]
    asked_count = len(endpoint.bodies)
    assert main(command) == 0  # from the same cache of answers
    assert len(endpoint.bodies) == asked_count == 2 * COUNT
    results = next((tmp_path / "out/base/lighteval").rglob("results_*.json"))
    scores = json.loads(results.read_text())["results"]["lighteval--gsm8k--2|0"]
    assert scores["extractive_match"] == pytest.approx(own_score)
    assert main(["report", str(tmp_path / "out")]) == 0
    again = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"][name]
    assert again == entry


def test_questions_stand_in_the_order_of_the_data_set_with_lightevals_own_prompt(
    data: Path,
) -> None:
    benchmark = loaded("lighteval:gsm8k", data, limit=3)
    queries = [question.messages[-1]["content"] for question in benchmark.questions]
    assert queries == [f"Question: test {i}: what is {i} plus 1?\nAnswer:" for i in range(3)]
    assert (benchmark.whole, benchmark.slug) == (COUNT, "lighteval--gsm8k")
    assert str(data / "gsm8k/test.jsonl") in benchmark.origin


def test_a_copy_as_the_hub_keeps_it_is_read_and_options_stand_as_lighteval_draws_them(
    tmp_path: Path,
) -> None:
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    with (tmp_path / "gpqa_diamond.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([f"Which,\n{i}?", "right", "a", "b", "c"] for i in range(20))
    first_draw = loaded("lighteval:gpqa:diamond", tmp_path)
    for question in first_draw.questions:
        assert f"\n{question.gold}) right" in question.problem
    assert {question.gold for question in first_draw.questions} == set("ABCD")
    assert loaded("lighteval:gpqa:diamond", tmp_path, limit=5).questions == first_draw.questions[:5]


def test_a_stop_sequence_ends_what_is_said_after_the_thinking_and_never_the_thinking(
    data: Path,
) -> None:
    question = loaded("lighteval:gsm8k", data).questions[1]
    assert question.document is not None
    assert question.document.stop_sequences == ("Question:",)
    texts = {
        "<think>\nQuestion: 5?\n</think>\n\nIt is 2.\nQuestion: 0": "correct",
        "It is 2.\nQuestion: and 0 plus 0? It is 0.": "correct",
        "<think>\nIt is 2.\n": "truncated",
        "It is 2.": "truncated",  # without a tag and cut: perhaps all of it was thinking
        "It is 3.\nQuestion: and 1 plus 1? It is 2.": "incorrect",
    }
    scorer = Scorer(with_second_opinion=False)
    try:
        for text, verdict in texts.items():
            answer = ModelAnswer(text, "length", 9, 9, 1.0)
            case = scorer.submit(SampleRequest(question, 0), answer, lambda correct: None).result()
            assert (text, case.verdict.verdict) == (text, verdict)
    finally:
        scorer.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lighteval:arc:challenge", "needs the probabilities of given answers"),
        ("lighteval:wikitext", "needs the probability of a given text"),
        ("lighteval:mt_bench", "needs a judge model"),
        ("lighteval:lcb:codegeneration", "needs to run programs that the student wrote"),
        ("lighteval:wmt14:de-en", "needs all answers at once"),
        ("lighteval:gsm9k", r"lighteval has no task 'gsm9k': nearest: gsm8k"),
        ("lighteval:gsm8k|x", r"write lighteval:TASK or lighteval:TASK\|EXAMPLES"),
        ("lighteval:gsm8k,arc", "one task an entry"),
        ("lighteval:gpqa:diamond", r"no copy of Idavidrein/gpqa gpqa_diamond/train"),
        ("lighteval:mmlu", r"no copy of lighteval/mmlu abstract_algebra/test"),
    ],
)
def test_what_a_task_needs_beyond_text_is_refused_in_one_line(
    data: Path, name: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as refusal:
        loaded(name, data)
    assert "\n" not in str(refusal.value)


def test_a_task_that_does_not_exist_is_told_before_lighteval_or_any_data_is_read(
    data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        f'out = "{tmp_path}/out"\nmodels = ["{tmp_path}/m"]\n'
        f'benchmarks = ["{tmp_path}/none.jsonl", "lighteval:gsm9k"]\n'
    )
    script = (
        "import sys\nfrom evaluation.__main__ import main\n"
        "from shared.errors import InputError\n"
        "try: main(['run', sys.argv[1]])\n"
        "except InputError as error: print(error)\n"
        "print('lighteval.tasks.lighteval_task' in sys.modules)\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(config)], capture_output=True, text=True
    )
    score_line, is_imported = process.stdout.splitlines()
    assert "lighteval has no task 'gsm9k'" in score_line
    assert is_imported == "False"


def test_data_of_nltks_that_a_metric_lacks_is_named_and_no_answer_without_a_score() -> None:
    with pytest.raises(LookupError) as lacking:
        nltk.data.find("tokenizers/no_such_tab/english/")
    assert missing_nltk_data(lacking.value) == "no_such_tab"
    assert missing_nltk_data(KeyError("Resource of the row not found")) == ""


def test_only_the_module_of_the_named_task_is_imported() -> None:
    assert modules_of(parse_spec("lighteval:gsm8k|5")) == ["lighteval.tasks.tasks.gsm8k"]
    assert modules_of(parse_spec("lighteval:suite|ifeval|0")) == [
        "lighteval.tasks.tasks.ifeval.main"
    ]
    assert parse_spec("lighteval:lighteval|gsm8k|5|0") == TaskSpec("gsm8k", 5)
    for task in ("mmlu:anatomy", "mmlu_redux_2:anatomy", "bigbench:qa_wikidata", "olympiad_bench"):
        assert "tiny" not in modules_of(TaskSpec(task, 0))[0]
