"""Evidence for claims: each is a folder of ``experiments`` whose ``run.py`` trains, measures and judges."""

from adain_evidence.claim import Check, Claim, in_every_seed
from adain_evidence.jobs import Job, run_job
from adain_evidence.results import Values, write_results
from adain_evidence.session import run_claim
from adain_evidence.setting import Setting

__all__ = ["Check", "Claim", "Job", "Setting", "Values", "in_every_seed", "run_claim", "run_job", "write_results"]
