"""Measurements: what the pool costs, and how long our own commands take."""
