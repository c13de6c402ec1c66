"""Loggers: the CSV file of every run, and what W&B and TensorBoard need beside Lightning's own loggers."""
