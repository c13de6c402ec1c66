"""Run a command with the configuration that Hydra composes."""

import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from adain_lit.config.command_line import prepared
from adain_lit.config.messages import causes, one_line
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.io.files import BROKEN_PIPE, discard_stdout

log = logging.getLogger(__name__)

SWEEP_JOB = "ADAIN_LIT_SWEEP_JOB"
"""Environment variable that launchers set for the jobs of a sweep that they run in processes of their own."""
_SCHEMAS = "adain_lit.tasks.config"
"""The schemas of conf/model, registered when imported; by name, as its floor is above this one."""
_in_full = False


def run_command(command: str, complete: Callable[[], None] | None = None) -> None:
    """Run a command with the configuration composed from the command line.

    A user's mistake ends in one line on standard error and exit status 2; HYDRA_FULL_ERROR=1 shows the traceback. In a
    multirun the other jobs continue and the exit status is 2 at the end. A process that lost the connection to another
    also ends with one line.

    Args:
        command: its name, which is that of its module, of the function there that takes the configuration, and of its
            file in the configuration tree. The module is imported once the configuration is composed: torch, which
            comes with it, takes seconds.
        complete: changes the arguments of this process before they are read.
    """

    def job(cfg: DictConfig) -> Any:
        processes.number_the_log()
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"  # for processes that the task starts
        try:
            for key in sorted(OmegaConf.missing_keys(cfg)):
                raise InputError(f"{key} is not set; give {key}=VALUE")
            return getattr(import_module(f"adain_lit.{command}"), command)(cfg)
        except Exception as error:
            line = one_line(error, command)
            if in_sweep():
                log.error("this job failed: %s", line or "", exc_info=full or line is None)
                raise  # without leaving the process: the other jobs of the sweep continue
            if full or line is None:
                raise
            _leave(command, line, error)
        finally:
            os.environ["HYDRA_FULL_ERROR"] = "1"

    global _in_full
    logging.raiseExceptions = False  # a log file on a full disk is no reason for a traceback at each message
    job.__module__ = f"adain_lit.{command}"  # Hydra names the job, and its log, after it
    import_module(_SCHEMAS)
    register_resolvers()
    _in_full = full = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them and exiting
    try:
        if complete is not None:
            complete()
        sys.argv[1:] = prepared(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of what --cfg or --help prints has gone
        discard_stdout()
        sys.exit(BROKEN_PIPE)
    except Exception as error:
        line = one_line(error, command)
        if full or line is None:
            raise
        _leave(command, line, error)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"


def _leave(command: str, line: str, error: BaseException) -> NoReturn:
    lost = any(processes.connection_lost(cause) for cause in causes(error))
    processes.leave(f"adain_lit.{command}: error: {line}", lost=lost)


def in_sweep() -> bool:
    """Whether this run is a job of a sweep, in the sweep's own process or in one started by a launcher."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN) or SWEEP_JOB in os.environ


def errors_in_full() -> bool:
    """Whether the user asked for tracebacks (HYDRA_FULL_ERROR=1).

    The variable itself does not answer that during a run, because `run_command` sets it.
    """
    return _in_full
