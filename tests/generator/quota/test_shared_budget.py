"""One allowance for many generators: real processes, a real PostgreSQL, a real folder, kill -9."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generator.config import BudgetConfig
from generator.corpus import check, corpus_status
from generator.quota import shared_store
from generator.quota.days import refuse_other_clock
from shared.errors import InputError
from tests.generator.process_runs import (
    LONG,
    configure,
    eventually,
    generator,
    rehearsal,
    rows,
    started,
)
from tests.generator.quota.postgres_server import BIN, PASSWORD, PostgresServer, postgres
from tests.shared.test_file_systems import NFS, held
from tests.shared.test_file_systems import in_front as in_front  # a fixture

needs_postgres = pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed")
ALLOWANCE = 120


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres() as server:
        yield server


def sharing(folder: Path, name: str, url: str, limit: int, seed: int = 0, **keys: object) -> Path:
    """A configuration whose lane has an account with ALLOWANCE calls a day."""
    (folder / name).mkdir()
    defaults = {
        "problems__limit": limit,
        "problems__seed": seed,
        "lane__account": f"teacher-{folder.name}",
        "lane__calls_per_day": ALLOWANCE,
        "lane__concurrency": 6,
        "daemon__wait": False,
    }
    return configure(folder / name, url, **(defaults | keys))


@needs_postgres
def test_three_generators_two_killed_and_a_restarted_database_make_no_call_too_many(
    tmp_path: Path, database: PostgresServer
) -> None:
    with rehearsal("--tokens-per-second", "400") as teacher:
        configs = [
            sharing(tmp_path, name, teacher.url, 400, seed, budget__shared_env="SHARED_URL")
            for seed, name in enumerate("abc")
        ]

        def calls() -> int:
            return int(teacher.stats()["calls"])

        with contextlib.ExitStack() as stack:
            runs = [
                stack.enter_context(started("run", config, SHARED_URL=database.url))
                for config in configs
            ]
            for killed_index, least in ((0, 20), (1, 40)):
                eventually(lambda least=least: calls() > least, "calls to be made")
                runs[killed_index].send_signal(signal.SIGKILL)
                runs[killed_index].wait(timeout=LONG)
            database.stop()
            time.sleep(0.5)
            database.start()
            _, errors = runs[2].communicate(timeout=LONG)
            assert runs[2].returncode == 3, errors
        for config in configs:
            end = generator("run", config, SHARED_URL=database.url)
            assert end.returncode == 3, end.stderr
            assert f"of {ALLOWANCE} calls today" in end.stderr
        # What two kills may leave unused: a block each, and the calls that they cut off count.
        assert ALLOWANCE - 4 <= calls() <= ALLOWANCE
    for name in "abc":
        ids = [row["id"] for row in rows(tmp_path / name / "corpus")]
        assert len(ids) == len(set(ids))
        assert check(tmp_path / name / "corpus").faults == []


def test_a_folder_shares_an_allowance_among_generators_of_which_one_is_killed(
    tmp_path: Path,
) -> None:
    with rehearsal("--tokens-per-second", "400") as teacher:
        shared = {"budget__shared": str(tmp_path / "shared")}
        configs = [
            sharing(tmp_path, name, teacher.url, 200, seed, lane__calls_per_day=60, **shared)
            for seed, name in enumerate("ab")
        ]
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(started("run", config)) for config in configs]
            eventually(lambda: teacher.stats()["calls"] > 20, "calls")
            runs[0].send_signal(signal.SIGKILL)
            runs[0].wait(timeout=LONG)
            _, errors = runs[1].communicate(timeout=LONG)
            assert runs[1].returncode == 3, errors
        assert generator("run", configs[0]).returncode == 3
        assert 58 <= teacher.stats()["calls"] <= 60


def test_what_is_left_of_a_block_is_given_back_at_an_orderly_end(tmp_path: Path) -> None:
    """Blocks are of 100 calls."""
    with rehearsal() as teacher:
        for seed, name in enumerate("ab"):
            config = sharing(
                tmp_path,
                name,
                teacher.url,
                12,
                seed,
                budget__shared=str(tmp_path / "shared"),
                lane__calls_per_day=10_000,
            )
            end = generator("run", config)
            assert end.returncode == 0, end.stderr
        calls = teacher.stats()["calls"]
    held_calls = _held(tmp_path / "shared")
    assert sum(held_calls.values()) == calls
    assert len(held_calls) == 2


def _held(folder: Path) -> dict[str, int]:
    """Calls by owner."""
    held_calls = {}
    for path in sorted(folder.glob("account-*/*.json")):
        row = json.loads(path.read_text())
        held_calls[row["owner"]] = row["calls"]
    return held_calls


def test_a_killed_runs_block_is_used_up_by_the_next_run_on_its_corpus_and_by_no_copy(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    with rehearsal("--tokens-per-second", "300") as teacher:
        config = sharing(
            tmp_path, "a", teacher.url, 50, budget__shared=str(shared), lane__calls_per_day=20_000
        )
        with started("run", config) as run:
            eventually(lambda: teacher.stats()["calls"] > 5, "calls")
            run.send_signal(signal.SIGKILL)
            run.wait(timeout=LONG)
        assert list(_held(shared).values()) >= [200]
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
        held_calls = _held(shared)
        assert len(held_calls) == 1
        # Calls that the kill cut off count as made, whether or not they reached the server.
        assert teacher.stats()["calls"] <= sum(held_calls.values()) <= 50 + 6
        (tmp_path / "copy").mkdir()
        os.system(f"cp -r {tmp_path}/a/corpus {tmp_path}/copy/corpus")
        config.write_text(config.read_text().replace("/a/corpus", "/copy/corpus"))
        more = generator("run", config, "--set", "problems.limit=55")
        assert more.returncode == 0, more.stderr
        assert len(_held(shared)) == 2


@needs_postgres
def test_while_the_database_is_away_a_block_is_used_up_and_the_log_says_why(
    tmp_path: Path, database: PostgresServer
) -> None:
    with rehearsal("--tokens-per-second", "100") as teacher:
        config = sharing(
            tmp_path,
            "a",
            teacher.url,
            60,
            budget__shared_env="SHARED_URL",
            lane__calls_per_day=1000,
            lane__concurrency=4,
            daemon__wait=True,
        )
        corpus = tmp_path / "a" / "corpus"
        with started("run", config, SHARED_URL=database.url) as run:
            eventually(lambda: teacher.stats()["calls"] > 4, "calls")
            database.stop()
            calls_before = teacher.stats()["calls"]
            try:
                eventually(lambda: _status_says(corpus, "waits for its shared budget"), "why")
            finally:
                database.start()
            assert teacher.stats()["calls"] > calls_before, "the block was not used up"
            _, errors = run.communicate(timeout=LONG)
        assert run.returncode == 0, errors
        assert "lane budget away" in errors
        assert "the database says" in errors
        assert teacher.stats()["calls"] == 60
    _nothing_shows_the_password(corpus, errors)


def _status_says(corpus: Path, words: str) -> bool:
    return words in corpus_status(corpus).text()


def _nothing_shows_the_password(corpus: Path, output: str) -> None:
    texts = [output] + [
        path.read_bytes().decode(errors="replace") for path in corpus.rglob("*") if path.is_file()
    ]
    for text in texts:
        assert PASSWORD not in text
        assert "s3cret-pass" not in text


@needs_postgres
def test_a_database_that_never_comes_ends_a_run_that_does_not_wait(tmp_path: Path) -> None:
    config = sharing(tmp_path, "a", "http://127.0.0.1:9/v1", 5, budget__shared_env="SHARED_URL")
    address = "postgresql://u:s3cret-pass@127.0.0.1:9/x"
    end = generator("run", config, SHARED_URL=address)
    assert end.returncode == 4
    assert "waits for its shared budget: the database says" in end.stderr
    _nothing_shows_the_password(tmp_path / "a" / "corpus", end.stderr + end.stdout)


@needs_postgres
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda url: "", "the environment variable SHARED_URL is empty"),
        (lambda url: "mysql://u:s3cret-pass@h/x", "holds no postgresql:// address"),
        (lambda url: url.replace("s3cret-pass", "s3cret-passX"), "authentication failed"),
        (lambda url: url.replace("/postgres", "/nowhere"), "does not exist"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:s3cret-pass"), "cannot be read"),
    ],
)
async def test_a_wrong_address_is_one_line_before_the_first_call(
    database: PostgresServer, spoil: Callable[[str], str], words: str
) -> None:
    async def open_store() -> None:
        address = {"SHARED_URL": spoil(database.url)}
        store = shared_store(BudgetConfig(shared_env="SHARED_URL"), address)
        assert store is not None
        await store.open()

    with pytest.raises(InputError) as refusal:
        await open_store()
    message = str(refusal.value)
    assert words in message
    assert "SHARED_URL" in message
    assert "s3cret-pass" not in message
    assert "\n" not in message


@needs_postgres
def test_dollars_and_tokens_are_shared_as_well(tmp_path: Path, database: PostgresServer) -> None:
    """Two runs, one after the other: the second has what the first left."""
    with rehearsal() as teacher:
        keys = {
            "lane__calls_per_day": 0,
            "lane__price_in": 1.0,
            "lane__price_out": 1000.0,
            "lane__usd_total": 10.0,
            "lane__concurrency": 2,
            "budget__shared_env": "SHARED_URL",
        }
        spendings = []
        for seed, name in enumerate("ab"):
            config = sharing(tmp_path, name, teacher.url, 40 if name == "a" else 400, seed, **keys)
            end = generator("run", config, SHARED_URL=database.url)
            assert end.returncode == (0 if name == "a" else 3), end.stderr
            spendings.append(sum(row["cost_usd"] for row in rows(tmp_path / name / "corpus")))
    assert "of 10.00 dollars in total" in end.stderr
    most_of_a_call = 0.6  # what is in flight when a limit of dollars is reached
    assert 10.0 <= sum(spendings) <= 10.0 + 2 * most_of_a_call
    assert min(spendings) > 1.0


def test_a_shared_folder_on_a_network_file_system_is_refused_with_the_remedy(
    tmp_path: Path, in_front: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    process = held(
        tmp_path / "elsewhere" / "shared",
        NFS,
        in_front,
        "import asyncio; from generator.quota.folder import FolderStore",
        "asyncio.run(FolderStore(Path(sys.argv[1])).open())",
    )
    assert process.returncode == 2, process.stderr
    assert "on a network file system (nfs)" in process.stderr
    assert "PostgreSQL with budget.shared_env" in process.stderr
    assert not (tmp_path / "elsewhere" / "shared").exists()


def test_a_day_that_begins_elsewhere_for_another_generator_is_refused(tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    with rehearsal() as teacher:
        for name, zone, code in (("a", "UTC", 0), ("b", "Asia/Shanghai", 2)):
            config = sharing(
                tmp_path, name, teacher.url, 5, budget__shared=shared, lane__day_timezone=zone
            )
            end = generator("run", config)
            assert end.returncode == code, end.stderr
    assert "another generator that shares its allowance has another day_timezone" in end.stderr


@needs_postgres
async def test_the_database_sees_other_zones_as_well(database: PostgresServer) -> None:
    store = shared_store(BudgetConfig(shared_env="URL"), {"URL": database.url})
    assert store is not None
    await store.open()
    day = 1_800_000_000.0
    await store.exchange("zones", "a", day, lambda others, own: replace(own, calls=1))
    await store.exchange("zones", "b", day + 86_400, lambda others, own: replace(own, calls=1))
    with pytest.raises(InputError, match="another day_timezone"):
        await store.exchange("zones", "b", day + 28_800, lambda others, own: own)
    await store.close()


def test_a_clock_far_from_the_databases_is_refused() -> None:
    refuse_other_clock(1000.0, 1200.0)
    with pytest.raises(InputError, match="this machine's clock is 3,600 s behind the database's"):
        refuse_other_clock(1000.0, 4600.0)
