"""Runs of training as they lie on the disk: finding and reading them, and showing several beside each other."""
