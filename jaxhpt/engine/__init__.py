"""The one loop: built, compiled, driven."""
