"""A corpus in parts: `CORPUS/part-0007/` is an ordinary corpus with the problems of its number.

    CORPUS/parts.json          {"schema": 1, "parts": 64}
    CORPUS/part-0000/ …        traces/, rejected/, manifest.json, ledger.sqlite of each

A problem's part is a property of its id, so no two parts share an id. Who reads `CORPUS` reads all.
"""

import os
import re
from pathlib import Path

import orjson

from shared.errors import InputError
from shared.file_writing import make_corpus_folder, open_within, sync_folder, writing

FILE = "parts.json"
SCHEMA = 1
MOST_PARTS = 10_000  # four digits name them
_NAME = re.compile(r"part-\d{4}")


def part_of(problem_id: str, parts: int) -> int:
    """Which of so many parts a problem belongs to."""
    return int(problem_id, 16) % parts


def part_folder(corpus: Path, part: int) -> Path:
    """Where a part's own corpus is."""
    return corpus / f"part-{part:04d}"


def part_folders(corpus: Path) -> list[Path]:
    """The parts that are there, in order of number; none for a corpus of one process."""
    folders = sorted(corpus.glob("part-????"))
    return [folder for folder in folders if _NAME.fullmatch(folder.name) and folder.is_dir()]


def recorded_parts(corpus: Path) -> int:
    """How many parts the corpus was divided into; 0: it never was. Errors: `InputError`."""
    path = corpus / FILE
    try:
        parts = orjson.loads(path.read_bytes())["parts"]
    except (FileNotFoundError, NotADirectoryError):  # what the path lacks, its writer says
        return 0
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({error}): write the number of parts into it again:"
            ' {"schema": 1, "parts": N}'
        ) from None
    if not isinstance(parts, int) or not 1 <= parts <= MOST_PARTS:
        raise InputError(f"{path}: {parts!r} is no number of parts: correct it")
    return parts


def record_parts(corpus: Path, parts: int) -> None:
    """Divide a corpus into so many parts, once for all. Any number of processes may do it at once.

    Errors: `InputError` where it is divided otherwise, or was filled by one process; `CannotWrite`.
    """
    check_parts(corpus, parts)
    path = corpus / FILE
    if path.exists():
        return
    temporary = path.with_name(f".{FILE}.{os.getpid()}")
    with writing(path):
        make_corpus_folder(corpus)
        try:
            with open(temporary, "wb", opener=open_within) as file:
                file.write(orjson.dumps({"schema": SCHEMA, "parts": parts}) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # of several processes one comes first
            sync_folder(corpus)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    check_parts(corpus, parts)


def check_parts(corpus: Path, parts: int) -> None:
    """Errors: `InputError` where the corpus is not one of so many parts, and cannot become one."""
    recorded_count = recorded_parts(corpus)
    if recorded_count and recorded_count != parts:
        raise InputError(
            f"{corpus}: divided into {recorded_count} parts: go on with"
            f" {recorded_count}, or choose another"
            " `corpus` for another number"
        )
    if not recorded_count and (corpus / "ledger.sqlite").exists():
        raise InputError(
            f"{corpus}: filled by one process: go on without parts, or choose another `corpus`"
        )


def check_not_divided(corpus: Path) -> None:
    """Errors: `InputError` where the corpus is one of parts: one process would ask all again."""
    recorded_count = recorded_parts(corpus)
    if recorded_count:
        raise InputError(
            f"{corpus}: divided into {recorded_count} parts: go on with"
            f" `--parts {recorded_count} --on local:W`"
            ", or choose another `corpus`"
        )
