"""Citations: BibTeX of what an algorithm, a scheduler, a combination of them or a practice rests on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxhpt.algorithms import (
    ALGORITHMS,
    CMAES,
    NSGA2,
    TPE,
    Algorithm,
    Auto,
    Bayesian,
    Chain,
    DifferentialEvolution,
    Genetic,
    GreyGuided,
    Grid,
    Portfolio,
    QuasiRandom,
    Random,
    Refine,
    Screen,
)
from jaxhpt.core.checks import suggest
from jaxhpt.core.space import Space
from jaxhpt.references import REFERENCES, Reference
from jaxhpt.schedulers import (
    ASHA,
    PB2,
    PBT,
    SCHEDULERS,
    EarlyStopping,
    GreyStop,
    Hyperband,
    MedianStop,
    RunToEnd,
    Scheduler,
)

_PROCESS = ("rasmussen2006gaussian", "blum2013optimization", "hvarfner2024vanilla")
_DESIGN = ("sobol1967distribution", "joe2008constructing", "burley2020practical")
RESTS_ON: dict[type, tuple[str, ...]] = {  # keys of REFERENCES; what a class inherits from is cited with it
    Auto: (),
    Bayesian: (
        "garnett2023bayesian", *_PROCESS, "ament2023unexpected", "desautels2014parallelizing",
        "gardner2014bayesian", "zhang2020random", "yang2019efficient", "thompson1933likelihood", *_DESIGN,
    ),
    Chain: (),
    CMAES: ("hansen2016cma", "auger2005restart", "hansen2011injecting", "hansen2009method"),
    DifferentialEvolution: ("storn1997differential", "zhang2009jade", "tanabe2013success"),
    Genetic: ("holland1975adaptation", "deb1995simulated", "baker1987reducing", "deb2014analysing"),
    GreyGuided: ("deng1989introduction", "kelley1935unbiased", "buja1989linear"),
    Grid: (),
    NSGA2: ("deb2002fast",),
    Portfolio: ("fialho2010analyzing",),
    QuasiRandom: ("bousquet2017critical", *_DESIGN),
    Random: ("bergstra2012random",),
    Refine: ("rechenberg1973evolutionsstrategie", "beyer2002evolution"),
    Screen: ("jin2011surrogate",),
    TPE: ("bergstra2011algorithms", "falkner2018bohb", "watanabe2023tree"),
    ASHA: ("li2020system", "klein2020model", "schmucker2021multi"),
    EarlyStopping: ("prechelt1998early",),
    GreyStop: ("deng1982control", "viering2022shape", "domhan2015speeding", "maron1993hoeffding"),
    Hyperband: ("li2018hyperband",),
    MedianStop: ("golovin2017google",),
    PB2: ("parkerholder2020provably", *_PROCESS),
    PBT: ("jaderberg2017population",),
    RunToEnd: (),
}  # fmt: skip
PRACTICES: dict[str, tuple[str, ...]] = {  # what is no class of its own
    "beliefs": ("hvarfner2022pibo", "mallik2023priorband"),
    "mup": ("yang2022tensor",),
}
PARTS: dict[type, tuple[type, ...]] = {  # of classes whose instances need not hold them
    Auto: (QuasiRandom, Screen, Genetic, Bayesian, NSGA2, CMAES, TPE),
    Screen: (Bayesian,),
}


def cite(method: Any, space: Any = None) -> str:
    """BibTeX of what a method rests on: ready to be pasted into a bibliography.

    An instance that is made of others, such as `Portfolio(TPE(), CMAES())`, gives their entries, too; a class has none
    yet. `Auto` gives those of all it may choose: cite the one it chose, where that is known.

    Args:
      method: an algorithm or a scheduler: its name in `ALGORITHMS` or `SCHEDULERS`, its class or an instance; also of a
        class of your own that inherits from one of these. Or "beliefs", for dimensions with `near`, or "mup", for
        `jaxhpt.models.mup`.
      space: what was searched; where something is believed of it, the entries of "beliefs" are added.

    Returns:
      The entries, the method's own first, an empty line between two, each once; "" for what rests on no publication:
      `Grid`, `Chain` without its parts, and `RunToEnd`.

    Raises:
      ValueError: an unknown name.
      TypeError: a class or an instance of which nothing is known.

    Example:
      >>> import jaxhpt
      >>> print(jaxhpt.cite("pbt").splitlines()[0])
      @misc{jaderberg2017population,
      >>> jaxhpt.cite(jaxhpt.Refine(jaxhpt.TPE())).count("@")
      5
      >>> jaxhpt.cite("run_to_end")
      ''
      >>> jaxhpt.cite("random", {"lr": jaxhpt.Float(1e-5, 1e-1, log=True, near=1e-3)}).count("@")
      3
    """
    if isinstance(method, str) and method in PRACTICES:
        own = PRACTICES[method]
    else:
        own = tuple(key for kind in _kinds(method) for key in _own(kind))
    believed = PRACTICES["beliefs"] if space is not None and Space.of(space).beliefs else ()
    return "\n\n".join(bibtex(REFERENCES[key]) for key in dict.fromkeys((*own, *believed)))


def bibtex(reference: Reference) -> str:
    """Write a reference as an entry of BibTeX."""
    place = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}.get(reference.kind)
    fields = {"author": reference.authors, "title": f"{{{reference.title}}}", "year": str(reference.year)}
    if place is not None:
        fields[place] = reference.place
    if reference.link.startswith("https://doi.org/"):
        fields["doi"] = reference.link.removeprefix("https://doi.org/")
    if reference.link.startswith("https://arxiv.org/abs/"):
        fields |= {"eprint": reference.link.removeprefix("https://arxiv.org/abs/"), "archiveprefix": "arXiv"}
    if reference.link:
        fields["url"] = reference.link
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{reference.kind}{{{reference.key},", *lines, "}"])


def _kinds(method: Any) -> Iterator[type]:
    """Yield the classes that a method is made of, its own first.

    Raises:
      ValueError: an unknown name.
    """
    if isinstance(method, str):
        names = {**ALGORITHMS, **SCHEDULERS}
        if method not in names:
            raise ValueError(f"method={method!r}: unknown; {suggest(method, (*names, *PRACTICES))}")
        method = names[method]
    kind = method if isinstance(method, type) else type(method)
    yield kind
    for part in PARTS.get(kind, ()):
        yield from _kinds(part)
    if kind is not method:
        for part in _parts(method):
            yield from _kinds(part)


def _parts(method: Any) -> Iterator[Any]:
    """Yield the algorithms and schedulers among the settings of an instance."""
    for field in dataclasses.fields(method) if dataclasses.is_dataclass(method) else ():
        value = getattr(method, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Algorithm | Scheduler) and not isinstance(part, type):
                yield part


def _own(kind: type) -> tuple[str, ...]:
    """Return the keys of a class and of those it inherits from.

    Raises:
      TypeError: none of them is known.
    """
    known = [RESTS_ON[base] for base in kind.__mro__ if base in RESTS_ON]
    if not known:
        given = f"{kind.__module__}.{kind.__qualname__}"
        raise TypeError(f"method of {given}: must be, or inherit from, one of ALGORITHMS, SCHEDULERS or a combination")
    return tuple(key for keys in known for key in keys)
