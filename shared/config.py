"""One way to load a configuration: TOML file, then environment, then `--set`; validated once, at
the door.

    load(GeneratorConfig, Path("configs/x.toml"), sets=["sampling.samples=4",
        "lane.0.concurrency=50"])

`STILLHOUSE_PROBLEMS__LIMIT=10` in the environment is `problems.limit = 10`. Every fault is an
`InputError` of one line that names the file, the line where it can be found, the key and the
remedy.
"""

import difflib
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import InputError

PREFIX = "STILLHOUSE_"


class Config(BaseModel):
    """Base of every configuration table: frozen, and an unknown key is an error. Describe each
    key with `Field`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Config)

# What pydantic calls by Python's names.
_IN_TOML = {
    "model_type": "a table belongs here: write [name] or [[name]] above its keys",
    "model_attributes_type": "a table belongs here: write [name] or [[name]] above its keys",
    "tuple_type": "a list belongs here: write [...], or [[name]] above each of several tables",
}


def load(
    model: type[Model],
    path: Path | None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    default: str = "",
) -> Model:
    """The validated configuration from `path` (None: from `default`), overridden by `environ`,
    then by `sets`.
    """
    text = default if path is None else _read(path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    places: dict[tuple[str, ...], str] = {}  # where a key was given, if not in the file
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        keys = name[len(PREFIX) :].lower().split("__")
        if keys[0] in model.model_fields:
            places[*keys,] = f"environment variable {name}"
            _put(tree, keys, _value(value), places[*keys,])
        else:
            print(f"warning: {name} names no key of this program and is ignored", file=sys.stderr)
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {_without_credentials(item)}: write --set key=value")
        keys = key.strip().split(".")
        places[*keys,] = f"--set {key.strip()}"  # without the value, which may be a secret
        _put(tree, keys, _value(value), places[*keys,])
    _hold_to_64_bits(tree, str(path) if path else "configuration")
    return validate(model, tree, str(path) if path else "configuration", text, places)


def validate(
    model: type[Model],
    tree: Mapping[str, Any],
    place: str,
    text: str = "",
    places: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> Model:
    """`tree` as `model`, or an `InputError` whose line starts with the key's entry in `places`
    where it has one, else with `place` (and the line number in `text`).
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        path = _path_of(model, error.errors()[0]["loc"])
        told = [
            p
            for keys, p in places.items()
            if path and keys[: len(path)] == tuple(path[: len(keys)])
        ]
        where = told[-1] if told else place + (_line_of(text, path) if path else "")
        raise InputError(_one_line(model, error, where)) from None


def explain(model: type[Config], prefix: str = "") -> str:
    """Every key with its default and its description, as commented TOML: what `--help` prints."""
    lines, tables = [], []
    for name, info in model.model_fields.items():
        table = _table_model(info.annotation)
        if table is not None:
            listed = str(info.annotation).startswith(("list", "tuple"))
            head = f"[[{prefix}{name}]]" if listed else f"[{prefix}{name}]"
            about = f"  # {info.description}" if info.description else ""
            tables.append(f"\n{head}{about}\n" + explain(table, f"{prefix}{name}."))
            continue
        default = (
            "…" if info.is_required() else _as_toml(info.get_default(call_default_factory=True))
        )
        about = f" # {info.description}" if info.description else ""
        lines.append(f"{name} = {default}".ljust(36 if about else 0) + about)
    return "\n".join(lines + tables)


def _table_model(annotation: Any) -> type[Config] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Config):
            return candidate
    return None


def _as_toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_as_toml(item) for item in value) + "]"
    return json.dumps(
        value, ensure_ascii=False, default=str
    )  # TOML's scalars are written as JSON's


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors begin files with a mark
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: give the path of a TOML file (examples: configs/)"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 at byte {error.start}: save the file as UTF-8"
        ) from None


def _value(text: str) -> Any:
    """A value as TOML would read it; what is not TOML is a plain string, so that quotes can be
    left out.
    """
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _hold_to_64_bits(node: Any, place: str, key: str = "") -> None:
    """TOML's integers have 64 bits, and so have those of the files that a configuration ends up
    in.
    """
    if isinstance(node, int) and not -(2**63) <= node < 2**63:
        raise InputError(f"{place}: {key}: beyond 64 bits: give a smaller number")
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            _hold_to_64_bits(value, place, f"{key}.{name}" if key else str(name))


def _put(tree: dict[str, Any], keys: list[str], value: Any, place: str) -> None:
    node: Any = tree
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise InputError(
                    f"{place}: {'.'.join(keys[:depth])} has {len(node)} tables, numbered from 0"
                )
            key_or_index: Any = int(key)
        elif isinstance(node, dict):
            key_or_index = key
        else:
            raise InputError(f"{place}: {'.'.join(keys[:depth])} is a value, not a table")
        if last:
            node[key_or_index] = value
        elif isinstance(node, dict):
            node = node.setdefault(key_or_index, {})
        else:
            node = node[key_or_index]


def _one_line(model: type[Config], error: ValidationError, place: str) -> str:
    first, *others = error.errors()
    path = _path_of(model, first["loc"])
    where = f"{place}: {'.'.join(path)}" if path else place
    if first["type"] == "extra_forbidden":
        near = _nearest(model, path)
        return f"{where}: unknown key" + (
            f"; did you mean {near}?" if near else "; --help lists every key"
        )
    if first["type"] == "missing":
        return f"{where}: missing; add this key (--help explains it)"
    # A key of several types fails once for each of them.
    alike = [first, *(other for other in others if _path_of(model, other["loc"]) == path)]
    messages = dict.fromkeys(_IN_TOML.get(one["type"]) or _message(one["msg"]) for one in alike)
    given = first["input"]
    is_told = isinstance(given, str | int | float) and not (
        path and path[-1].endswith("_env")
    )  # perhaps a key itself
    shown = f" (got {_without_credentials(str(given))[:80]!r})" if is_told else ""
    return f"{where}: {', or '.join(messages)}{shown}"


def _without_credentials(text: str) -> str:
    """A value that may be shown: user, password and query of an address are left out."""
    text = re.sub(r"(^|//|=)\S*@(?=\S)", r"\1[hidden]@", text)
    return re.sub(r"(://[^\s?#]*[?#])\S*", r"\1[hidden]", text)


def _message(told: str) -> str:
    message = told.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _path_of(model: type[Config], loc: Sequence[str | int]) -> list[str]:
    """The key that pydantic means, without the names of a union's members that it puts behind
    it.
    """
    path = []
    table: type[Config] | None = model
    for part in loc:
        if isinstance(part, str):
            if table is None:
                break
            info = table.model_fields.get(part)
            table = _table_model(info.annotation) if info else None
        path.append(str(part))
    return path


def _nearest(model: type[Config], path: list[str]) -> str:
    """The known key nearest to an unknown one: in its own table first, then anywhere."""
    known = list(_all_keys(model))
    plain = ".".join(part for part in path if not part.isdigit())
    table = plain.rpartition(".")[0]
    siblings = {key: key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == table}
    near = difflib.get_close_matches(path[-1], list(siblings.values()), 1, 0.6)
    if near:
        return ".".join([*path[:-1], near[0]])
    by_name = {key.rpartition(".")[2]: key for key in known}
    near = difflib.get_close_matches(path[-1], list(by_name), 1, 0.8)
    return by_name[near[0]] if near else ""


def _all_keys(model: type[Config], prefix: str = "") -> list[str]:
    keys = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        table = _table_model(info.annotation)
        if table is not None:
            keys += _all_keys(table, f"{prefix}{name}.")
    return keys


def _line_of(text: str, path: list[str]) -> str:
    """`:line` of a key in TOML text, or "" where it stands in no line of its own (inline
    tables, `--set`).
    """
    tables = [part for part in path[:-1] if not part.isdigit()]
    index = next((int(part) for part in path if part.isdigit()), 0)
    seen, current = -1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]+", line):
            current = header[1]
            seen += current == ".".join(tables)
        elif (
            current == ".".join(tables)
            and re.match(rf"\s*{re.escape(path[-1])}\s*=", line)
            and seen in (index, -1)
        ):
            return f":{number}"
        if header and current == ".".join([*tables, path[-1]]):
            return f":{number}"
    return ""
