"""Running the training command in several processes, as torchrun does, and what they leave to be compared."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from support.commands import TINY

SYSTEMS = ("enc_adain_dec", "ablation_concat", "ablation_bndec", "ablation_indec")
DDP = (
    *(text for text in TINY if text != "trainer=smoke"),
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "data.batch_size=4",
    "data.val_pairs=5",
    "+callbacks.numbers._target_=support.ranks.Numbers",
    "+callbacks.numbers.folder=${hydra:runtime.output_dir}",
)


class Numbers(Callback):
    """Writes the numbers of the samples that this process saw in each step."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.seen: dict[int, list[int]] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen[trainer.global_step] = batch.indices.tolist()

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        (self.folder / f"numbers_{trainer.global_rank}.json").write_text(json.dumps(self.seen))


class SignalOneRank(Callback):
    """Sends one of the processes a signal at the end of a step, or with a rank of -1 each of them."""

    def __init__(self, rank: int, step: int, number: int) -> None:
        self.rank = rank
        self.step = step
        self.number = number

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        # a resumed run repeats the overrides that added this callback
        meant = self.rank in (-1, trainer.global_rank) and trainer.global_step == self.step
        if meant and trainer.ckpt_path is None:
            Path("signalled").touch()
            os.kill(os.getpid(), self.number)


def signal_one_rank(rank: int, step: int, number: int) -> list[str]:
    """Overrides that add `SignalOneRank` to a run."""
    values = {"rank": rank, "step": step, "number": int(number), "_target_": "support.ranks.SignalOneRank"}
    return [f"+callbacks.signal.{name}={value}" for name, value in values.items()]


def numbers_of(run: Path) -> dict[int, list[int]]:
    """Step to the numbers of the samples of all processes, in the order of their ranks."""
    parts = [json.loads(path.read_text()) for path in sorted(run.glob("numbers_*.json"))]
    return {int(step): [number for part in parts for number in part[step]] for step in parts[0]}


def losses_of(run: Path, name: str = "train/loss") -> dict[int, float]:
    """Step to value, from metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row[name]}


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    """The trained weights and buffers after the last step."""
    weights: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return weights


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def torchrun_environment(rank: int, count: int, port: int, *, hosts: bool = False) -> dict[str, str]:
    """What torchrun tells one of `count` processes; with `hosts` each of them runs on a machine of its own."""
    local = {"LOCAL_RANK": 0 if hosts else rank, "LOCAL_WORLD_SIZE": 1 if hosts else count}
    group = {"GROUP_RANK": rank if hosts else 0, "GROUP_WORLD_SIZE": count if hosts else 1}
    numbers = {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port, **local, **group}
    named = {name: str(value) for name, value in numbers.items()}
    return {**named, "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}


def slurm_environment(rank: int, count: int) -> dict[str, str]:
    """What srun tells one of `count` processes on one machine."""
    numbers = {"SLURM_NTASKS": count, "SLURM_NTASKS_PER_NODE": count, "SLURM_NNODES": 1, "SLURM_NODEID": 0}
    own = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_JOB_ID": 4242, "SLURM_STEP_ID": 0}
    named = {name: str(value) for name, value in (numbers | own).items()}
    return {**named, "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": "24242"}


def run_all(commands: list[list[str]], environments: list[dict[str, str]], folder: Path) -> list[tuple[int, str]]:
    """Run Python with these arguments side by side, in one session; exit status and output of each."""
    paths = os.pathsep.join((str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    children = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | quiet | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        output = [child.communicate(timeout=900)[0] for child in children]
        return [(child.returncode, text) for child, text in zip(children, output, strict=True)]
    finally:
        for child in children:
            child.kill()


def train_in(count: int, runs: list[list[str]], folder: Path, *, hosts: bool = False) -> None:
    """Run the training command once for each list of arguments, all in the same `count` processes.

    Each run needs a ``hydra.run.dir`` of its own. One process serves several runs since importing torch takes longer.
    """
    (folder / "runs.json").write_text(json.dumps(runs))
    port = free_port()
    environments = [torchrun_environment(rank, count, port, hosts=hosts) for rank in range(count)]
    for status, output in run_all([["-m", "support.ranks", "runs.json"]] * count, environments, folder):
        assert status == 0, output


if __name__ == "__main__":
    from adain_lit import train

    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        sys.argv = ["train", *arguments]
        train.main()
