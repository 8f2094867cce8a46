"""How a search ended: the names that code and files know, and what people are told."""

ENDINGS = {  # what counts where processes differ comes first
    "error": "broken off by an error",
    "raised": "ended for more trials",
    "finished": "finished",
    "interrupted": "interrupted by Ctrl-C",
    "terminated": "ended by SIGTERM",
    "stopped": "stopped by a command",
    "timeout": "stopped at its timeout",
    "callback": "stopped by a callback",
}
OTHERS = {"told": "told so far"}  # of a Tuner


def phrase(ended: str) -> str:
    """Return how people are told that a search ended; a name that is plain English stays, such as "killed"."""
    return ENDINGS.get(ended) or OTHERS.get(ended) or ended
