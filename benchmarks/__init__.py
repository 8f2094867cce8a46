"""Benchmarks: every claim has one here, measured side by side in one run."""
