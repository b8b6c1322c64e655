"""Any task of lighteval's as a benchmark: through its own prompt and metric, asked and kept like
every other.

    lighteval:gsm8k|5   ->   Benchmark("lighteval:gsm8k|5", …), each question with the document that its metric judges

Prompts and examples are those of a whole run of lighteval's (its seeds, its shuffle); questions are
asked in the order of the data set. The task's `generation_size` is not applied, a thinking would
not fit in it; its stop sequences are, to what the model says after the thinking.
"""

import contextlib
import dataclasses
import importlib
import importlib.metadata
import io
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from lighteval.tasks.lighteval_task import LightevalTask, LightevalTaskConfig
from lighteval.tasks.prompt_manager import PromptManager
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc

from evaluation.benchmarks import first_questions, slug, unique_ids
from evaluation.lighteval.replacing import quiet, replaced
from evaluation.lighteval.task_metrics import for_one_answer, metric_names, need_of
from evaluation.lighteval.task_names import TaskSpec, modules_of, parse_spec, unknown_task
from evaluation.records import Benchmark, Question, TaskDocument
from shared.benchmarks.local_copies import CopyLeeway, expected_copies, find_copy
from shared.benchmarks.names import HubSet
from shared.benchmarks.rows import read_file
from shared.errors import InputError

_SEED = 1234  # what lighteval's pipeline sets before it makes its documents


def load_task(
    name: str, data: str, limit: int, system_prompt: str, warn: Callable[[str], None]
) -> Benchmark:
    """The benchmark `lighteval:…`. Arguments as of `load_benchmark`; `warn` is told which of the
    task's metrics are left out.

    Errors: `InputError` for a task that does not exist, needs more than text in and out, or whose
    data cannot be had.
    """
    spec = parse_spec(name)
    module, configs = _find(spec)
    metrics = {config.name: _metrics_of(config, warn) for config in configs}
    _check_needs(configs)
    questions: list[Question] = []
    origins = []
    is_group = len({config.hf_subset for config in configs}) > 1
    with _lightevals_seeds(), quiet():
        for config in configs:
            rows, origin = _rows_of(config, data, is_group)
            origins.append(origin)
            names = metric_names(metrics[config.name][0])
            questions += _questions(config, rows, system_prompt, module, names[0])
    identities = unique_ids(question.problem for question in questions)
    questions = [
        dataclasses.replace(question, id=identity)
        for question, identity in zip(questions, identities, strict=True)
    ]
    version = importlib.metadata.version("lighteval")
    origin = f"lighteval {version}: {'; '.join(dict.fromkeys(origins))}"
    whole = Benchmark(name, slug(name), tuple(questions), origin, "", len(questions))
    return first_questions(whole, limit or len(questions))


def task_metrics(module: str, task: str) -> list[Any]:
    """The metrics by which one answer to a task of that module is judged."""
    config = Registry._extract_configs(importlib.import_module(module))[task]
    return [for_one_answer(metric) for metric in config.metrics if not need_of(metric)]


def _find(spec: TaskSpec) -> tuple[str, list[LightevalTaskConfig]]:
    """The module that has a task, and the task's configuration; of a group, all of its tasks'."""
    refusals = []
    for module in modules_of(spec):
        try:
            configs = _configs_in(module, spec)
        except InputError as error:  # another module may have the task
            refusals.append(error)
            continue
        if configs:
            return module, configs
    raise refusals[0] if refusals else unknown_task(spec)


def _configs_in(module: str, spec: TaskSpec) -> list[LightevalTaskConfig]:
    """The configurations that a module has of a task, with the examples and parameters asked for."""
    table = Registry._extract_configs(_imported(module, spec))
    names = [name for name in table if name == spec.name or name.startswith(f"{spec.name}:")]
    if not names:
        return []
    if len(names) == 1:  # lighteval expands a group of several only
        spec = spec._replace(task=spec.task.replace(spec.name, names[0], 1))

    def task_configs(
        custom_tasks: Any = None, load_multilingual: bool = False
    ) -> dict[str, LightevalTaskConfig]:
        return table

    try:
        with replaced(Registry, "load_all_task_configs", task_configs):
            registry = Registry(tasks=str(spec))
    except (ValueError, SyntaxError, AttributeError) as error:
        raise InputError(f"benchmarks: lighteval:{spec}: {_line(error)}") from None
    # Typed as single ones there.
    groups: list[list[LightevalTaskConfig]] = list(registry.task_to_configs.values())  # type: ignore[arg-type]
    return [config for group in groups for config in group]


def _imported(module: str, spec: TaskSpec) -> Any:
    """The module alone; what it prints and downloads at import is not for the user's terminal."""
    silence = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except Exception as error:  # packages that are missing, files that it downloads: its own
        raise InputError(
            f"benchmarks: lighteval:{spec}: its module cannot be imported ({_line(error)}): install"
            " what it names into .venv/evaluation, or leave the task out"
        ) from None


def _metrics_of(config: LightevalTaskConfig, warn: Callable[[str], None]) -> list[Any]:
    """The metrics of a task that can judge an answer. Errors: `InputError` where there is none."""
    needs = {", ".join(metric_names(metric)): need_of(metric) for metric in config.metrics}
    metrics = [metric for metric in config.metrics if not need_of(metric)]
    left_out = {name: package for name, package in needs.items() if package}
    reasons = "; ".join(f"{name} needs {package}" for name, package in left_out.items())
    if not metrics:
        raise InputError(
            f"benchmarks: lighteval:{config.name} cannot be asked here: {reasons}; a model is asked"
            " for texts only"
        )
    if left_out:
        warn(f"lighteval:{config.name}: {reasons}: left out, the task's other metric is taken")
    return metrics


def _check_needs(configs: Sequence[LightevalTaskConfig]) -> None:
    for config in configs:
        if config.generation_grammar is not None:
            raise InputError(
                f"benchmarks: lighteval:{config.name} cannot be asked here: it needs answers in a"
                " grammar"
            )


def _rows_of(
    config: LightevalTaskConfig, data: str, is_group: bool
) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """The rows of each split that a task reads, and where they come from."""
    splits = list(dict.fromkeys(config.evaluation_splits))
    if config.num_fewshots:
        examples = LightevalTask(config).fewshot_split
        splits += [examples] if examples and examples not in splits else []
    rows = {}
    origins = []
    for split in splits:
        hub_set = HubSet(config.hf_repo, config.hf_subset, split)
        is_asked = split in config.evaluation_splits
        if data:
            leeway = CopyLeeway(split=is_asked, subset=not is_group)
            rows[split], origin = _copied_rows(hub_set, config, data, leeway)
        else:
            rows[split], origin = _hub_rows(hub_set, config)
        origins += [origin] if is_asked else []
    if config.hf_filter is not None:
        rows = {split: list(filter(config.hf_filter, rows[split])) for split in rows}
    return rows, ", ".join(origins)


def _copied_rows(
    hub_set: HubSet, config: LightevalTaskConfig, data: str, leeway: CopyLeeway
) -> tuple[list[dict[str, Any]], str]:
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise InputError(
            f'data = "{data}": is no folder: correct it, or leave it empty to use the hub'
        )
    name = f"{hub_set.data_set}:{hub_set.subset}:{hub_set.split}"
    files = find_copy(folder, name, hub_set, leeway)
    if not files:
        places = ", ".join(expected_copies(name, hub_set))
        raise InputError(
            f'data = "{data}": no copy of {hub_set}, which lighteval:{config.name} reads: looked'
            f" for {places}: add one"
        )
    rows = [dict(row) for file in files for _, row in read_file(file)]
    return rows, ", ".join(map(str, files))


def _hub_rows(hub_set: HubSet, config: LightevalTaskConfig) -> tuple[list[dict[str, Any]], str]:
    try:
        rows = datasets.load_dataset(
            hub_set.data_set, hub_set.subset, revision=config.hf_revision, split=hub_set.split
        )
    except Exception as error:  # the hub's client raises a dozen kinds: "it cannot be had" is all
        copy = expected_copies(hub_set.data_set, hub_set)[0]
        raise InputError(
            f"hub:{hub_set}: cannot be loaded ({_line(error)}): set data = FOLDER with {copy} in it"
        ) from None
    return [dict(row) for row in rows], f"hub:{hub_set}"


def _questions(
    config: LightevalTaskConfig,
    rows: Mapping[str, list[dict[str, Any]]],
    system_prompt: str,
    module: str,
    metric: str,
) -> list[Question]:
    """The questions of one task in the order of its data set, without their ids."""
    task = LightevalTask(config)
    task.dataset = rows
    try:
        documents = list(task.eval_docs())
        task.get_docs()  # gives them their examples, and shuffles lighteval's own list
    except ImportError as error:
        raise InputError(
            f"benchmarks: lighteval:{config.name} needs a package ({_line(error)}): install it into"
            " .venv/evaluation, or leave the task out"
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"benchmarks: lighteval:{config.name} makes no questions of {config.hf_repo}"
            f" ({type(error).__name__}: {_line(error)}): a copy must have the data set's own columns"
        ) from None
    prompts = PromptManager(use_chat_template=True, system_prompt=system_prompt or None)
    return [_question(document, config, prompts, module, metric) for document in documents]


def _question(
    document: Doc, config: LightevalTaskConfig, prompts: PromptManager, module: str, metric: str
) -> Question:
    if document.images:
        raise InputError(
            f"benchmarks: lighteval:{config.name} cannot be asked here: its questions have images"
        )
    golds = _golds(document)
    return Question(
        "",
        document.query,
        golds[0],
        tuple(prompts.prepare_prompt_api(document)),
        tuple(golds[1:]),
        TaskDocument(
            module,
            config.name,
            metric,
            tuple(document.stop_sequences or ()),
            {
                "query": document.query,
                "choices": list(document.choices),
                "gold_index": document.gold_index,
                "instruction": document.instruction,
                "specific": document.specific,
                "task_name": document.task_name,
            },
        ),
    )


def _golds(document: Doc) -> list[str]:
    """A document's golds, for the eye; [""] where its metric goes by something else."""
    try:
        return [str(gold) for gold in document.get_golds()] or [""]  # type: ignore[no-untyped-call]
    except (IndexError, TypeError):
        return [""]


@contextmanager
def _lightevals_seeds() -> Iterator[None]:
    """Inside, prompts that are drawn come out as in lighteval's own pipeline."""
    state = random.getstate()
    numpy_state = np.random.get_state()
    random.seed(_SEED)
    np.random.seed(_SEED)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
