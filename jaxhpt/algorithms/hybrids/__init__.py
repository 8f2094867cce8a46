"""Algorithms made of others."""
