"""Host side: what a person sees of a search."""
