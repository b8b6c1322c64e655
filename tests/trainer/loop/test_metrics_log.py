"""One of several processes writes what a run writes down."""

from pathlib import Path

from trainer.artifacts.metrics import read_lines
from trainer.loop.metrics_log import METRICS, MetricsLog


def test_only_the_first_process_drops_the_lines_that_will_be_written_again(tmp_path: Path) -> None:
    first_process = MetricsLog(tmp_path, writes=True)
    for step in range(1, 5):
        first_process.append(METRICS, {"step": step, "loss": 1.0})
    MetricsLog(tmp_path, writes=False).drop_after(2)
    assert len(read_lines(tmp_path / METRICS)) == 4
    first_process.drop_after(2)
    assert [record["step"] for record in read_lines(tmp_path / METRICS)] == [1, 2]
