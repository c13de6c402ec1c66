"""What all training modules log."""

from pathlib import Path

import pytest

from adain_lit import train
from support.commands import run_here, tiny
from support.runs import log_of, only_run


def test_accumulated_batches_are_logged_as_the_one_step_that_they_are(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same samples as one batch of 4; losses, gradient and rate agree but for rounding."""
    logs = []
    for size, accumulated in ((4, 1), (2, 2), (1, 4)):
        folder = tmp_path / str(size)
        folder.mkdir()
        monkeypatch.chdir(folder)
        steps = [f"data.batch_size={size}", f"trainer.accumulate_grad_batches={accumulated}", "trainer.max_steps=2"]
        assert run_here(train.main, [*tiny(photographs, paintings), *steps], monkeypatch) == 0
        rows = [
            {k: float(v) for k, v in row.items() if k.startswith("train/")}
            for row in log_of(only_run(folder))
            if row["train/loss"]
        ]
        logs.append(rows)
    for first, second in logs[1:]:
        assert first == pytest.approx(logs[0][0], rel=1e-3)
        assert second == pytest.approx(logs[0][1], rel=0.05)  # Adam's first step amplifies rounding
