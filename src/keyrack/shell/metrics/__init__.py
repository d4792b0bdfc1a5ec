"""Metrics for Prometheus: one table of them, where their numbers come from, and how they are asked for."""
