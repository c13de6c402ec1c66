"""Jobs of a claim: public commands, each run once however often the script is started."""

import hashlib
import itertools
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from adain_lit.config.overrides import job_folder, quoted
from adain_lit.config.paths import last_checkpoint
from adain_lit.errors import InputError
from adain_lit.io.files import write_json

log = logging.getLogger(__name__)

DONE = "job_done.json"
OUTPUT = "output.log"


@dataclass(frozen=True)
class Job:
    """A command of the package with its settings.

    Attributes:
        module: ``train``, ``evaluate``, ``benchmark``.
        name: a readable name; with a checksum of the settings it names the folder.
        settings: Hydra overrides, without those of the output folder.
        below: folder of the claim's run data.
        multirun: whether it is a sweep.
    """

    module: str
    name: str
    settings: tuple[str, ...]
    below: Path
    multirun: bool = False

    @property
    def folder(self) -> Path:
        """The output folder, which depends on the settings."""
        digest = hashlib.sha256("\n".join([self.module, *self.settings]).encode()).hexdigest()[:8]
        return self.below / f"{self.name}_{digest}"

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint of a single training."""
        return last_checkpoint(self.folder)

    def run_of(self, name: str, **values: object) -> Path:
        """Folder of one training of a sweep.

        Args:
            name: of the run, which is that of its experiment.
            values: of its other settings, such as ``seed=0``; a dot in a key is written as two underscores.
        """
        parsed = OverridesParser.create().parse_overrides(list(self.settings))
        swept = {override.get_key_element() for override in parsed if override.is_sweep_override()}
        given = {key.replace("__", "."): str(value) for key, value in values.items()}
        return job_folder(self.folder, name, {key: value for key, value in given.items() if key in swept})

    @property
    def seconds(self) -> float:
        """Run time, all attempts together.

        Raises:
            InputError: if it has not finished.
        """
        path = self.folder / DONE
        if not path.is_file():
            raise InputError(f"{self.name} has not finished: there is no {path}")
        return float(json.loads(path.read_text("utf-8"))["seconds"])

    def arguments(self) -> list[str]:
        """Command line arguments, after the module's name."""
        key = "hydra.sweep.dir" if self.multirun else "hydra.run.dir"
        resumed = [f"resume={quoted(str(self.folder))}"] if self._resumes() else []
        return [*(["-m"] if self.multirun else []), *self.settings, f"{key}={quoted(str(self.folder))}", *resumed]

    def compositions(self) -> Iterator[list[str]]:
        """The settings of each run; for a sweep first those that are not swept, which Hydra composes as well."""
        parsed = OverridesParser.create().parse_overrides(list(self.settings))
        each = [
            [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [str(o.input_line)]
            for o in parsed
        ]
        if self.multirun:
            yield [str(o.input_line) for o in parsed if not o.is_sweep_override()]
        yield from map(list, itertools.product(*each))

    def _resumes(self) -> bool:
        return self.module == "train" and not self.multirun and self.checkpoint.is_file()


def run_job(job: Job) -> Path:
    """Run a job unless it is done; an interrupted training is resumed from its last checkpoint.

    An interrupted sweep runs the jobs that are missing. Output goes to ``output.log`` in the folder.

    Returns:
        Its folder.

    Raises:
        InputError: if the command failed, with its last line.
    """
    if (job.folder / DONE).is_file():
        return job.folder
    job.folder.mkdir(parents=True, exist_ok=True)
    log.info("%s %s ...", job.module, job.name)
    spent = job.folder / "seconds_so_far"
    resumed = job.multirun or job._resumes()
    before = float(spent.read_text()) if spent.is_file() and resumed else 0.0
    command = [sys.executable, "-m", f"adain_lit.{job.module}", *job.arguments()]
    start = time.monotonic()
    output = job.folder / OUTPUT
    try:
        with output.open("a", encoding="utf-8") as file:
            status = subprocess.run(command, stdout=file, stderr=file).returncode
    finally:
        seconds = before + time.monotonic() - start
        spent.write_text(f"{seconds}\n")
    if status:
        lines = output.read_text("utf-8", "replace").strip().splitlines() or ["it printed nothing"]
        raise InputError(f"{job.module} {job.name} ended with status {status}: {lines[-1]} (all of it: {output})")
    write_json({"module": job.module, "settings": list(job.settings), "seconds": seconds}, job.folder / DONE)
    log.info("%s %s: %.0f s", job.module, job.name, seconds)
    return job.folder
