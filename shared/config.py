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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shared.errors import InputError
from shared.system_folders import refuse_system_folder

PREFIX = "STILLHOUSE_"
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADER = re.compile(r"\s*\[+\s*([\w.\-\"]+)\s*\]+")


# A folder's path leaves room for the names of what is in it.
PATH_BYTES_MAX = 3900
NAME_BYTES_MAX = 255
NAMES_MAX = 200  # folders within one another
MESSAGE_CHARACTERS_MAX = 400


def _fits_a_file_system(path: str | Path) -> str | Path:
    """As Linux has it: a longer one is no error of a file that is missing."""
    encoded_path = os.fsencode(path)
    names = encoded_path.split(b"/")
    longest_name = max(map(len, names))
    if len(encoded_path) > PATH_BYTES_MAX or longest_name > NAME_BYTES_MAX:
        raise ValueError(
            f"too long for a path: at most {NAME_BYTES_MAX} bytes a name and {PATH_BYTES_MAX:,} in"
            " all"
        )
    if len(names) > NAMES_MAX:
        raise ValueError(f"more than {NAMES_MAX} folders within one another: give a shorter path")
    return path


# A file, a folder, or a name that may be one: of a hub's data set, of a model.
PathText = Annotated[str, AfterValidator(_fits_a_file_system)]
FilePath = Annotated[Path, AfterValidator(_fits_a_file_system)]


def _is_no_system_folder(path: str | Path) -> str | Path:
    if str(path):
        refuse_system_folder(path)
    return path


# A folder that is filled: one of the user's own.
OwnFolderText = Annotated[PathText, AfterValidator(_is_no_system_folder)]
OwnFolder = Annotated[FilePath, AfterValidator(_is_no_system_folder)]


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
    except RecursionError:  # tomllib calls itself for each bracket
        raise InputError(
            f"{path}: nested too deeply: no key needs more than a few levels"
        ) from None
    places: dict[tuple[str, ...], str] = {}  # where a key was given, if not in the file
    for keys, value, place in _overrides(model, sets, environ):
        places[*keys,] = place
        _put(tree, keys, _value(value), place)
    _hold_to_what_files_hold(tree, str(path) if path else "configuration")
    return validate(model, tree, str(path) if path else "configuration", text, places)


def _overrides(
    model: type[Config],
    sets: Sequence[str],
    environ: Mapping[str, str],
) -> Iterator[tuple[list[str], str, str]]:
    """(key, value as text, where it was given) from the environment, then from `--set`."""
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        keys = name[len(PREFIX) :].lower().split("__")
        if keys[0] in model.model_fields:
            yield keys, value, f"environment variable {name}"
        else:
            print(f"warning: {name} names no key of this program and is ignored", file=sys.stderr)
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {_without_credentials(item)}: write --set key=value")
        # The place is told without the value, which may be a secret.
        yield key.strip().split("."), value, f"--set {key.strip()}"


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
        key_places = [
            key_place
            for keys, key_place in places.items()
            if path and keys[: len(path)] == tuple(path[: len(keys)])
        ]
        if key_places:
            place = key_places[-1]
        elif path:
            place += _line_of(text, path)
        raise InputError(_one_line(model, error, place)) from None


def explain(model: type[Config], prefix: str = "") -> str:
    """Every key with its default and its description, as commented TOML: what `--help` prints."""
    lines = []
    tables = []
    for name, info in model.model_fields.items():
        table = _table_model(info.annotation)
        if table is not None:
            is_list = str(info.annotation).startswith(("list", "tuple"))
            head = f"[[{prefix}{name}]]" if is_list else f"[{prefix}{name}]"
            about = f"  # {info.description}" if info.description else ""
            tables.append(f"\n{head}{about}\n" + explain(table, f"{prefix}{name}."))
            continue
        default = "…"
        if not info.is_required():
            default = _as_toml(info.get_default(call_default_factory=True))
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
    # TOML's scalars are written as JSON's.
    return json.dumps(value, ensure_ascii=False, default=str)


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
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _hold_to_what_files_hold(node: Any, place: str, key: str = "") -> None:
    """TOML's integers have 64 bits, and so have those of the files that a configuration ends up
    in. No path, name or address has a NUL in it, and half a surrogate (a byte that is no UTF-8,
    from `--set`) cannot be written.
    """
    if isinstance(node, int) and not -(2**63) <= node < 2**63:
        raise InputError(f"{place}: {key}: beyond 64 bits: give a smaller number")
    if isinstance(node, str) and "\0" in node:
        raise InputError(f"{place}: {key}: a NUL character (\\u0000) in it: take it out")
    if isinstance(node, str) and _SURROGATE.search(node):
        raise InputError(f"{place}: {key}: a byte in it is no UTF-8: write it in UTF-8")
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            _hold_to_what_files_hold(value, place, f"{key}.{name}" if key else str(name))


def _put(tree: dict[str, Any], keys: list[str], value: Any, place: str) -> None:
    node: Any = tree
    for depth, key in enumerate(keys[:-1]):
        index = _index_in(node, key, keys[:depth], place)
        if isinstance(node, dict):
            node.setdefault(index, {})
        node = node[index]
    node[_index_in(node, keys[-1], keys[:-1], place)] = value


def _index_in(node: Any, key: str, path: list[str], place: str) -> Any:
    """What `key` is in the table or the list of tables `node`, which stands at `path`."""
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise InputError(f"{place}: {'.'.join(path)} is a value, not a table")
    if not key.isdigit() or int(key) >= len(node):
        raise InputError(f"{place}: {'.'.join(path)} has {len(node)} tables, numbered from 0")
    return int(key)


def _one_line(model: type[Config], error: ValidationError, place: str) -> str:
    faults = error.errors()
    fault = faults[0]
    path = _path_of(model, fault["loc"])
    where = f"{place}: {'.'.join(path)}" if path else place
    if fault["type"] == "extra_forbidden":
        near_key = _nearest(model, path)
        hint = f"did you mean {near_key}?" if near_key else "--help lists every key"
        return f"{where}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{where}: missing; add this key (--help explains it)"
    # A key of several types fails once for each of them.
    key_faults = [fault, *(each for each in faults[1:] if _path_of(model, each["loc"]) == path)]
    messages = dict.fromkeys(
        _IN_TOML.get(each["type"]) or _message(each["msg"]) for each in key_faults
    )
    return f"{where}: {', or '.join(messages)}{_input_shown(path, fault['input'])}"


def _input_shown(path: list[str], value: Any) -> str:
    """` (got ...)` for a value that may be shown; "" for a table, and for what may be a key itself
    where the name of its variable belongs.
    """
    if not isinstance(value, str | int | float):
        return ""
    if path and path[-1].endswith("_env"):
        return ""
    return f" (got {_without_credentials(str(value))[:80]!r})"


def _without_credentials(text: str) -> str:
    """A value that may be shown: user, password and query of an address are left out."""
    text = re.sub(r"(^|//|=)\S*@(?=\S)", r"\1[hidden]@", text)
    return re.sub(r"(://[^\s?#]*[?#])\S*", r"\1[hidden]", text)


def _message(message: str) -> str:
    """In its middle may stand what the user wrote: thousands of characters by mistake."""
    message = message.removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if len(message) > MESSAGE_CHARACTERS_MAX:
        half = MESSAGE_CHARACTERS_MAX // 2
        message = f"{message[:half]}…{message[-half:]}"
    return message


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
    keys = list(_all_keys(model))
    plain = ".".join(part for part in path if not part.isdigit())
    table = plain.rpartition(".")[0]
    siblings = {key: key.rpartition(".")[2] for key in keys if key.rpartition(".")[0] == table}
    near = difflib.get_close_matches(path[-1], list(siblings.values()), 1, 0.6)
    if near:
        return ".".join([*path[:-1], near[0]])
    by_name = {key.rpartition(".")[2]: key for key in keys}
    near = difflib.get_close_matches(path[-1], list(by_name), 1, 0.8)
    if near:
        return by_name[near[0]]
    return ""


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
    table = ".".join(part for part in path[:-1] if not part.isdigit())
    index = next((int(part) for part in path if part.isdigit()), 0)
    table_index = -1  # of those with the key's table as their header
    current_table = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is None:
            is_key = re.match(rf"\s*{re.escape(path[-1])}\s*=", line) is not None
            if is_key and current_table == table and table_index in (index, -1):
                return f":{number}"
            continue
        current_table = header[1]
        if current_table == table:
            table_index += 1
        if current_table == f"{table}.{path[-1]}".removeprefix("."):
            return f":{number}"
    return ""
