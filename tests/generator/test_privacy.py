"""What other users of the machine, and whoever reads the log, get to see: no key, no password,
no corpus.
"""

import asyncio
import os
from pathlib import Path

import pytest

from shared.chat_api.redaction import Address
from tests.fake_server import refuses, scripted
from tests.generator.process_runs import configure, generator, rehearsal


def modes(corpus: Path) -> dict[str, str]:
    return {
        str(path.relative_to(corpus)): f"{path.stat().st_mode & 0o777:o}"
        for path in [corpus, *corpus.rglob("*")]
    }


@pytest.mark.parametrize(
    ("umask", "folder", "file"),
    [(0o022, "700", "600"), (0o002, "700", "600"), (0o027, "750", "640")],
)
def test_a_corpus_is_its_owners_unless_the_umask_names_the_group(
    tmp_path: Path, umask: int, folder: str, file: str
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text(
        '{"problem": "What is 2 + 2?", "answer": "4"}\n{"problem": "What is 3 + 3?", "answer":'
        ' "6"}\n'
    )
    before = os.umask(umask)
    try:
        with rehearsal() as teacher:
            config = configure(
                tmp_path,
                teacher.url,
                problems__source=str(problems),
                problems__exclude=[str(problems)],
                shards__rows=1,
            )
            assert generator("plan", config).returncode == 0
            assert generator("run", config).returncode == 0
            assert generator("run", config, "--set", "problems.exclude=[]").returncode == 0
            assert generator("report", tmp_path / "corpus").returncode == 0
            assert generator("reindex", tmp_path / "corpus").returncode == 0
    finally:
        os.umask(before)
    mode_by_path = modes(tmp_path / "corpus")
    assert {
        "config.json",
        "ledger.sqlite",
        "report.html",
        ".lock",
        "screening/excluded.jsonl",
    } <= set(mode_by_path)
    assert set(mode_by_path.values()) == {folder, file}


def test_a_corpus_that_was_opened_by_hand_stays_open(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=2)
        assert generator("run", config).returncode == 0
        for path in [tmp_path / "corpus", *(tmp_path / "corpus").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert generator("run", config, "--set", "problems.limit=6").returncode == 0
    assert set(modes(tmp_path / "corpus").values()) == {"755", "644"}


PASSWORDS = ["pw-0123456789abcdef", "p%40ss%2Fword%3A1", "0123456789abcdef-token-alone"]


@pytest.mark.parametrize(
    ("userinfo", "status"),
    [
        *((f"user:{PASSWORDS[0]}", status) for status in (200, 307, 400, 404, 500)),
        (f"user:{PASSWORDS[1]}", 400),
        (PASSWORDS[2], 401),
    ],
)
async def test_a_password_in_the_address_is_sent_and_shown_nowhere(
    tmp_path: Path, userinfo: str, status: int
) -> None:
    address = Address.of(f"http://{userinfo}@h/v1")
    body = {
        "error": {
            "message": f"model not found for {address.authorization} {userinfo} {address.password}"
        }
    }
    async with scripted(
        refuses(status, body, {"Location": f"http://{userinfo}@elsewhere/"})
    ) as server:
        config = configure(
            tmp_path,
            server.url.replace("//", f"//{userinfo}@"),
            problems__limit=3,
            daemon__wait=False,
            daemon__give_up_minutes=0.02,
            retry__attempts=1,
        )
        output = await asyncio.to_thread(outputs, config, tmp_path / "corpus")
    assert {headers["Authorization"] for headers in server.headers} == {address.authorization}
    written = {
        path.name: path.read_bytes() for path in (tmp_path / "corpus").rglob("*") if path.is_file()
    }
    for secret in [*address.secrets, userinfo]:
        assert secret not in output
        assert [name for name, content in written.items() if secret.encode() in content] == []


def outputs(config: Path, corpus: Path) -> str:
    processes = [
        generator("run", config),
        generator("status", corpus),
        generator("plan", config, "--probe"),
    ]
    return "".join(process.stdout + process.stderr for process in processes)


@pytest.mark.parametrize(
    "setting",
    [
        "lane.0.base_url=htp://user:SECRET-0123456789@host/v1",
        "lane.0.base_url=user:SECRET-0123456789@host/v1",
        "lane.0.base_url=http://user:SECRET-0123456789/x@host/v1",
        "lane.0.base_url=http://user:a@SECRET-0123456789@host:99999/v1",
        "lane.0.base_url=http://host/v1?key=SECRET-0123456789",
        "lane.0.base_url=http://host/v1#SECRET-0123456789",
        "lane.7.base_url=http://user:SECRET-0123456789@host/v1",
        "lane.0.api_key_env=sk-SECRET-0123456789",
        "lane.0.api_key_env=hf_SECRETabcdefghij0123456789",
        "daemon.token_env=SECRET-0123456789",
        "http://user:SECRET-0123456789@host/v1",
    ],
)
def test_a_refused_setting_is_told_without_what_is_secret_in_it(
    tmp_path: Path, setting: str
) -> None:
    process = generator("plan", configure(tmp_path, "http://127.0.0.1:9/v1"), "--set", setting)
    assert process.returncode == 2
    assert "SECRET" not in process.stdout + process.stderr
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1
