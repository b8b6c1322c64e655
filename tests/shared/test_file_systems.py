"""Network file systems, by what statfs says of a folder: a library in front of it says so here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.file_systems import _mounted_as, _statfs_type, cluster_name, network_name

ROOT = Path(__file__).parents[2]
# linux/magic.h
PROC = 0x9FA0
NFS = 0x6969
CIFS = 0xFF534D42
V9FS = 0x01021997
FUSE = 0x65735546
LUSTRE = 0x0BD00BD0
IN_FRONT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
int statfs(const char *path, struct statfs *answer) {
  int (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
  int result = real(path, answer);
  if (result == 0 && strstr(path, "elsewhere")) answer->f_type = strtol(getenv("F_TYPE"), 0, 10);
  return result;
}
"""
HOLD = """
import sys
from pathlib import Path
from shared.errors import run_and_exit
def main():
    {imports}
    {call}
    print("held")
    return 0
run_and_exit(main)
"""


@pytest.fixture(scope="module")
def in_front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("no compiler for a library in front of statfs")
    folder = tmp_path_factory.mktemp("statfs")
    (folder / "statfs.c").write_text(IN_FRONT)
    library = folder / "statfs.so"
    build = ["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "statfs.c"), "-ldl"]
    subprocess.run(build, check=True)
    return library


def held(
    folder: Path, f_type: int, in_front: Path, imports: str, call: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HOLD.format(imports=imports, call=call), str(folder)],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(in_front), "F_TYPE": str(f_type)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("f_type", "name"), [(NFS, "nfs"), (CIFS, "cifs")])
def test_a_corpus_on_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, in_front: Path, f_type: int, name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    corpus = tmp_path / "elsewhere" / "corpus"
    process = held(
        corpus,
        f_type,
        in_front,
        "from generator.corpus.lock import lock_corpus",
        "lock_corpus(Path(sys.argv[1]))",
    )
    assert process.returncode == 2, process.stderr
    assert f"network file system ({name})" in process.stderr
    assert "on a disk of this machine" in process.stderr
    assert not corpus.exists()


@pytest.mark.parametrize("f_type", [NFS, LUSTRE, FUSE])
def test_a_run_in_a_folder_that_others_may_share_says_that_its_lock_may_not_hold(
    tmp_path: Path, in_front: Path, f_type: int
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    process = held(
        folder,
        f_type,
        in_front,
        "from shared.folder_lock import FolderLock",
        "FolderLock(Path(sys.argv[1]), key='run')",
    )
    assert (process.returncode, process.stdout) == (0, "held\n")
    assert process.stderr.startswith(f"warning: {folder}: on a file system that other machines")
    assert len(process.stderr.splitlines()) == 1


def test_a_sandbox_whose_only_disk_is_told_as_9p_is_warned_and_not_refused(
    tmp_path: Path, in_front: Path
) -> None:
    if os.stat(tmp_path).st_dev != os.stat("/").st_dev:
        pytest.skip("the temporary folder is on a disk of its own")
    process = held(
        tmp_path / "elsewhere",
        V9FS,
        in_front,
        "from generator.corpus.lock import lock_corpus; Path(sys.argv[1]).mkdir()",
        "lock_corpus(Path(sys.argv[1]))",
    )
    assert process.stdout == "held\n"
    assert "warning" in process.stderr


def test_a_disk_of_this_machine_is_neither(tmp_path: Path) -> None:
    assert network_name(tmp_path) == cluster_name(tmp_path) == ""
    assert network_name(Path("/dev/shm/not/there/yet")) == ""


def test_the_kernel_is_asked_and_the_innermost_mount_is_taken() -> None:
    assert _statfs_type(Path("/proc")) == PROC
    assert _mounted_as(Path("/proc/self")) == "proc"
    assert _statfs_type(Path("/nowhere")) == 0
