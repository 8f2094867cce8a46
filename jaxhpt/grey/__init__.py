"""Grey systems: models of short sequences, relations, forecasts."""
