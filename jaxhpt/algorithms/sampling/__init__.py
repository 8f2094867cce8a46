"""Algorithms that do not look at results."""
