"""Hydra plugins for sweeps: launchers for the machines, sweepers that do only what is missing.

Hydra imports these modules whenever it starts, for whatever program, so they import what is heavy where it is needed.
"""
