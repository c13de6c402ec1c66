"""Run the script of a claim: parse the command line, run the jobs, write the results."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from adain_evidence.claim import Claim
from adain_evidence.composition import composed
from adain_evidence.index import write_index
from adain_evidence.jobs import Job, run_job
from adain_evidence.record import circumstances, image_record
from adain_evidence.results import summary, write_results
from adain_evidence.setting import Setting
from adain_lit.config.instantiate import instantiate
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.errors import InputError

log = logging.getLogger(__name__)


def run_claim(
    claim: Claim,
    jobs: Callable[[Setting], Sequence[Job]],
    conclude: Callable[[Setting], dict[str, Any]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Run a claim's jobs, draw its conclusions and write them.

    A user error or a failed job ends with one line on standard error and status 2. Finished jobs
    are not run again next time.

    Args:
        claim: the claim.
        jobs: the jobs that it needs, in order, each ``train``, ``evaluate`` or ``benchmark``.
        conclude: reads their outputs, draws the figure, and returns ``values`` and ``checks``, perhaps ``notes`` (see
            `write_results`), and further entries of the record, such as ``steps``.
        arguments: command line arguments; None: those of sys.argv.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    given = sys.argv[1:] if arguments is None else list(arguments)
    if {"-h", "--help"} & set(given):
        print(f"{claim.title}: {claim.statement} ({claim.source})\n\n{Setting.__doc__}")  # noqa: T201
        return
    try:
        _run(claim, Setting.parse(claim.name, given), jobs, conclude)
    except InputError as error:
        sys.stderr.write(f"{claim.name}: error: {error}\n")
        raise SystemExit(2) from None


def _run(
    claim: Claim,
    setting: Setting,
    jobs: Callable[[Setting], Sequence[Job]],
    conclude: Callable[[Setting], dict[str, Any]],
) -> None:
    data = found_images(setting)
    record = {"images": image_record(setting, data), "seeds": list(setting.seeds), **circumstances(setting)}
    planned = list({job.folder: job for job in jobs(setting)}.values())
    for job in planned:
        composed(job.module, next(job.compositions()))  # finds mistakes before hours of training
    for job in planned:
        run_job(job)
    start = time.monotonic()
    found = conclude(setting)
    record["seconds"] = round(sum(job.seconds for job in planned) + time.monotonic() - start)
    parts = {key: found.pop(key) for key in ("values", "checks")}
    notes = found.pop("notes", [])
    results = write_results(claim, setting, **parts, notes=notes, record=record | found)
    write_index(claim.folder.parent)
    log.info("%s\n%s", claim.title, summary({"scales": {setting.scale: results["scales"][setting.scale]}}))


def found_images(setting: Setting) -> PairedDataModule:
    """Find the images of a claim's trainings and read the held-out ones.

    Raises:
        InputError: if there are none.
    """
    data = instantiate(composed("train", setting.training(0)).data, "data")
    assert isinstance(data, PairedDataModule)
    data.prepare_data()
    data.setup("fit")
    return data
