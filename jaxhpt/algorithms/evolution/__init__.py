"""Populations that breed."""
