"""Which checkpoint a run goes on from, over kills at any point of its writing, against a list."""

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.machines import machine_settings
from trainer.artifacts.checkpoints import MARK, drop_old, mark_whole, whole_checkpoints

FILES = ("adapter_model.safetensors", "optimizer.pt", "deep/rng_state.pth")
STRANGERS = ("checkpoint-", "checkpoint-abc", "checkpoint-7~", "tmp-checkpoint-3", "notes.txt")
BAD_MARKS = (b"", b"{", b"[]", b"null", b"{}", b'{"files": []}', b'{"files": {}}', b"\xff\xfe")


class CheckpointMachine(RuleBasedStateMachine):
    """Checkpoints of a run in one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="checkpoint-machine-"))
        self.step = 0
        self.whole: dict[int, int] = {}  # step: what its state says
        self.torn: set[int] = set()
        self.strangers: set[str] = set()

    def write(self) -> Path:
        """The files of the next step's checkpoint, without a mark."""
        self.step += 10
        path = self.folder / f"checkpoint-{self.step}"
        for name in FILES:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(b"x" * self.step)
        return path

    @rule(state=st.integers(0, 9))
    def save(self, state: int) -> None:
        checkpoint = mark_whole(self.write(), {"n": state})
        assert checkpoint.step == self.step
        self.whole[self.step] = state

    @rule(files=st.integers(0, len(FILES)))
    def be_killed_before_the_mark(self, files: int) -> None:
        path = self.write()
        for name in FILES[files:]:
            (path / name).unlink()
        self.torn.add(self.step)

    @rule(mark=st.sampled_from(BAD_MARKS))
    def be_killed_within_the_mark(self, mark: bytes) -> None:
        (self.write() / MARK).write_bytes(mark)
        self.torn.add(self.step)

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), name=st.sampled_from(FILES), how=st.sampled_from(["cut", "gone", "dir"]))
    def damage(self, data: st.DataObject, name: str, how: str) -> None:
        step = data.draw(st.sampled_from(sorted(self.whole)))
        file = self.folder / f"checkpoint-{step}" / name
        if how == "cut":
            file.write_bytes(b"")
        else:
            file.unlink()
        if how == "dir":
            file.mkdir()
        del self.whole[step]
        self.torn.add(step)

    @rule(name=st.sampled_from(STRANGERS), is_folder=st.booleans())
    def find_something_else(self, name: str, is_folder: bool) -> None:
        path = self.folder / name
        if not path.exists():
            path.mkdir() if is_folder else path.write_bytes(b"x")
            self.strangers.add(name)

    @precondition(lambda self: self.whole)
    @rule(keep=st.integers(1, 4), data=st.data())
    def drop(self, keep: int, data: st.DataObject) -> None:
        best = data.draw(st.none() | st.sampled_from(sorted(self.whole)))
        drop_old(self.folder, keep, best)
        steps = sorted(self.whole)
        kept_steps = {step for step in steps if (self.folder / f"checkpoint-{step}").exists()}
        assert steps[-1] in kept_steps
        assert best is None or best in kept_steps
        assert len(kept_steps) <= max(keep, 2 if best is not None else 1)
        assert len(kept_steps) == len(steps) or len(kept_steps) >= keep
        self.whole = {step: self.whole[step] for step in kept_steps}
        self.torn = set()

    @invariant()
    def the_newest_whole_one_is_resumed(self) -> None:
        whole, torn = whole_checkpoints(self.folder)
        assert [checkpoint.step for checkpoint in whole] == sorted(self.whole)
        assert [checkpoint.state["n"] for checkpoint in whole] == [
            state for _, state in sorted(self.whole.items())
        ]
        for checkpoint in whole:
            assert json.loads((checkpoint.path / MARK).read_bytes())["files"].keys() == set(FILES)
        for step in self.torn:
            assert any(line.startswith(f"checkpoint-{step} is torn") for line in torn)

    @invariant()
    def what_is_not_ours_stays(self) -> None:
        assert all((self.folder / name).exists() for name in self.strangers)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


CheckpointMachine.TestCase.settings = machine_settings(examples=12, steps=20)
TestCheckpointsOverKills = CheckpointMachine.TestCase
