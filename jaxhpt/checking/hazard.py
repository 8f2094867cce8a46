"""A hazard: something that is allowed, and seldom meant."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Hazard:
    """Something that is allowed, and seldom meant.

    Attributes:
      kind: one word that names it, for code; "unread batch", for example.
      where: the function or the argument.
      what: what there is.
      remedy: what to do.
      grave: whether the results of a search would mean nothing, so that `search` warns of it by itself, where it sees
        it without a dry run, and `jaxhpt check` fails.
    """

    kind: str
    where: str
    what: str
    remedy: str
    grave: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"
