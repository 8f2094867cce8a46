"""What all rooms share: words, checks, keys, spaces, metrics, the history."""
