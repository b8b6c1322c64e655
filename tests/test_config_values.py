"""What nobody means, in any key of any program: one line with the key, before anything is done."""

import json
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from evaluation.config import EvaluationConfig
from generator.config import GeneratorConfig
from shared.config import Config, load
from shared.errors import InputError
from trainer.config import TrainerConfig

MODELS: list[type[Config]] = [GeneratorConfig, TrainerConfig, EvaluationConfig]
LANE = '[[lane]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
LEAST = {
    GeneratorConfig: ['corpus="c"', 'problems.source="synthetic:arithmetic"'],
    TrainerConfig: ['run="r"', 'model="m"', 'corpora=["c"]'],
    EvaluationConfig: ['out="o"', 'models=["m"]', 'benchmarks=["gsm8k"]'],
}


def keys(model: type[Config], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        tables = [
            part
            for part in (info.annotation, *get_args(info.annotation))
            if isinstance(part, type) and issubclass(part, Config)
        ]
        if tables:
            index = "0." if get_origin(info.annotation) is tuple else ""
            yield from keys(tables[0], f"{prefix}{name}.{index}")
        else:
            yield prefix + name, info


def parts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """(plain type, its constraints) of everything that a key may be, the items of lists too."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        yield from parts(inner, (*metadata, *more))
    elif origin in (Union, UnionType, tuple, list):
        for part in get_args(annotation):
            if part is not Ellipsis:
                yield from parts(part, metadata)
    elif origin is not Literal:
        yield annotation, metadata


def constraints(metadata: tuple[Any, ...]) -> Iterator[Any]:
    for each in metadata:
        yield each
        yield from getattr(each, "metadata", ())


def refusal_of(model: type[Config], text: str) -> str:
    """What the user is told; "" where it is taken."""
    default = LANE if model is GeneratorConfig else ""
    try:
        load(model, None, [*LEAST[model], text], environ={}, default=default)
    except InputError as error:
        return str(error)
    return ""


def test_every_number_is_bounded_on_both_sides() -> None:
    for model in MODELS:
        for name, info in keys(model):
            for kind, metadata in parts(info.annotation, tuple(info.metadata)):
                bounds = list(constraints(metadata))
                is_number = kind in (int, float)
                has_ceiling = any(isinstance(bound, Le | Lt) for bound in bounds)
                has_floor = any(isinstance(bound, Ge | Gt) for bound in bounds)
                assert not is_number or has_ceiling, name
                # these two say in a sentence of their own what is too small
                assert not is_number or has_floor or name in ("engine.batch", "weights"), name


NUMBERS: list[Any] = [10**18, -(10**18), 2**63 - 1, 2**63, -1, 0, 1e308, -1e-308]
TEXTS: list[Any] = ["", "a\0b", "x" * 5000, "../" * 2000, "\n", "☃", "-" * 300]
VALUES = [*NUMBERS, *TEXTS, True, [], {}, [[]], ["a\0b"], ["x" * 5000]]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_no_value_of_a_key_is_worse_than_one_line(model: type[Config]) -> None:
    for name, info in keys(model):
        is_list = get_origin(info.annotation) in (tuple, list)
        for value in VALUES:
            text = "true" if value is True else json.dumps(value)
            for written in (text, f"[{text}]") if is_list else (text,):
                refusal = refusal_of(model, f"{name}={written}")
                assert len(refusal) < 600, name
                assert "\n" not in refusal, name
                assert refusal or "\\u0000" not in written, name


@pytest.mark.parametrize("model", MODELS)
def test_no_number_is_infinite_and_no_text_holds_a_byte_that_is_no_utf_8(
    model: type[Config],
) -> None:
    for name, info in keys(model):
        kinds = {kind for kind, _ in parts(info.annotation)}
        if kinds & {int, float}:
            for number in ("nan", "inf", "-inf"):
                assert refusal_of(model, f"{name}={number}"), name
        assert refusal_of(model, f"{name}=a\udcffb"), name
