"""A run on disk: what it is, its trials as they end, and all that it needs to go on."""
