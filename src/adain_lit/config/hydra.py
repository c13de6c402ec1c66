"""Run a command with the configuration that Hydra composes."""

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from adain_lit.config.messages import causes, one_line
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from adain_lit.distributed import processes

log = logging.getLogger(__name__)

SWEEP_JOB = "ADAIN_LIT_SWEEP_JOB"
"""Variable that is set for the processes of a sweep: each is a job of it."""
_in_full = False


def run_command(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run `task` with the configuration that the command line composes.

    Mistakes of a person end in one line on the standard error and exit status 2; HYDRA_FULL_ERROR=1 shows where they
    come from. In a multirun the other jobs go on, and the status is 2 in the end. A process that lost the connection
    to another ends with one line, too.
    """

    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        processes.number_the_log()
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"  # for processes that the task starts
        try:
            return task(cfg)
        except Exception as error:
            line = one_line(error, config_name)
            if in_sweep():
                log.error("this job failed: %s", line or "", exc_info=full or line is None)
                raise
            if full or line is None:
                raise
            _leave(config_name, line, error)
        finally:
            os.environ["HYDRA_FULL_ERROR"] = "1"

    global _in_full
    register_resolvers()
    _in_full = full = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands errors through instead of printing them
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except Exception as error:
        line = one_line(error, config_name)
        if full or line is None:
            raise
        _leave(config_name, line, error)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"


def _leave(command: str, line: str, error: BaseException) -> NoReturn:
    lost = any(processes.connection_lost(cause) for cause in causes(error))
    processes.leave(f"adain_lit.{command}: error: {line}", lost=lost)


def in_sweep() -> bool:
    """Whether this run is a job of a sweep, in the process of the sweep or in one that a launcher has started."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN) or SWEEP_JOB in os.environ


def errors_in_full() -> bool:
    """Whether the user wants tracebacks (HYDRA_FULL_ERROR=1); `run_command` sets the variable itself meanwhile."""
    return _in_full
