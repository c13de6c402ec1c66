"""Metrics of style transfer methods: losses, similarities, time and memory."""
