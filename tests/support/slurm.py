"""Commands that behave like SLURM's as far as submitit uses them, on this machine, all jobs at once.

`install` writes them into a folder to be put on the PATH. What they know lies in the folder's ``state``: for each job
``ID.pid``, the process that `srun` became, and ``ID.state``, which ends as SLURM's own do.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> None:
    """Write the commands into `folder`."""
    (folder / "state").mkdir(parents=True)
    for name in COMMANDS:
        script = folder / name
        lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})")
        call = f"slurm.{name}(Path({str(folder / 'state')!r}), sys.argv[1:])"
        script.write_text("\n".join([*lines, "from pathlib import Path", "from support import slurm", call, ""]))
        script.chmod(0o755)


def sbatch(state: Path, arguments: list[str]) -> None:
    """Start the jobs of a script, each as a process that starts it again when it was queued again."""
    number = str(100 + len(list(state.glob("*.batch"))))
    (state / f"{number}.batch").touch()
    array = re.search(r"^#SBATCH --array=0-(\d+)", Path(arguments[0]).read_text(), re.MULTILINE)
    for task in range(int(array[1]) + 1) if array else (None,):
        name = number if task is None else f"{number}_{task}"
        (state / f"{name}.state").write_text("RUNNING")
        own = {} if task is None else {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from support import slurm; slurm.work({str(state)!r}, {name!r}, {arguments[0]!r})",
            ],
            cwd=Path.cwd(),
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
            | {"SLURM_JOB_ID": name.replace("_", ""), "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
            | {"SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "localhost"}
            | {"FAKE_SLURM_NAME": name}
            | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    sys.stdout.write(f"Submitted batch job {number}\n")


def work(state: str, name: str, script: str) -> None:
    """Run the script of a job, again as long as it is queued again."""
    place, again = Path(state, f"{name}.state"), Path(state, f"{name}.again")
    while True:
        status = subprocess.run(["bash", script], check=False).returncode
        if not again.exists():
            break
        again.unlink()
        Path(state, f"{name}.requeued").touch()
    place.write_text("COMPLETED" if status == 0 else "FAILED")


def srun(state: Path, arguments: list[str]) -> None:
    """Become the command, with its output in the file."""
    name = os.environ["FAKE_SLURM_NAME"]
    command = arguments[next(i for i, text in enumerate(arguments) if text == sys.executable) :]
    number, _, task = name.partition("_")
    output = Path(arguments[arguments.index("--output") + 1].replace("%A_%a", name).replace("%j", name))
    output = Path(str(output).replace("%t", "0").replace("%A", number).replace("%a", task))
    output.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    (state / f"{name}.pid").write_text(str(os.getpid()))
    os.execv(command[0], command)


def sacct(state: Path, arguments: list[str]) -> None:
    """Tell the states of all jobs."""
    rows = [f"{path.stem}|{path.read_text()}|localhost" for path in sorted(state.glob("*.state"))]
    sys.stdout.write("\n".join(["JobID|State|NodeList", *rows, ""]))


def scancel(state: Path, arguments: list[str]) -> None:
    """Send a signal to a job."""
    signals = [text.removeprefix("--signal=") for text in arguments if text.startswith("--signal=")]
    number = signal.Signals[f"SIG{signals[0]}"] if signals else signal.SIGTERM
    os.kill(int((state / f"{arguments[-1]}.pid").read_text()), number)


def scontrol(state: Path, arguments: list[str]) -> None:
    """Queue a job again."""
    assert arguments[0] == "requeue"
    (state / f"{arguments[1]}.again").touch()
