"""A study of Optuna as what is known before a search."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxhpt.core.checks import require, suggest
from jaxhpt.core.dimensions import Choice, Dimension
from jaxhpt.core.space import Space
from jaxhpt.integrations.extra import extra
from jaxhpt.results.prior import Pair

with extra("optuna"):
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState

NAMES = {StudyDirection.MINIMIZE: "min", StudyDirection.MAXIMIZE: "max"}


def from_optuna(
    study: Study,
    space: Any,
    objectives: Mapping[str, str] | Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> list[Pair]:
    """Return the trials of a study as the `prior` of a search or a `Tuner`.

    Trials that are complete count, and those that failed; what was pruned was scored after less training. Values keep
    their own sign. Numbers among the user attributes are metrics, too, such as those that are bounded.

    Args:
      study: of Optuna.
      space: of the search; parameters have the names of its dimensions, those of nested ones with dots.
      objectives: what the values of the study are called in the search, in order; as a dict of directions, these are
        checked. None for the study's metric names, and for a single value without one.
      ignore: parameters of the study that the space does not have, and that do not matter.

    Returns:
      Pairs of a setting and its value: a number, a dict of metrics, or None for a failure.

    Raises:
      ValueError: parameters that the space does not have, dimensions that no trial has, other directions, several
        objectives without names, or no trial that counts.

    Example:
      >>> import jaxhpt, optuna
      >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
      >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
      >>> study.optimize(lambda trial: (trial.suggest_float("x", 0, 3) - 1) ** 2, n_trials=16)
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> before = from_optuna(study, space)
      >>> result = jaxhpt.minimize(
      ...     lambda h, key: (h["x"] - 1) ** 2, space, trials=16, algorithm="genetic", prior=before, progress=False
      ... )
      >>> [trial.status for trial in result.trials].count("prior")
      16
    """
    space, trials = Space.of(space), [t for t in study.trials if t.state in (TrialState.COMPLETE, TrialState.FAIL)]
    _require_names(trials, space, ignore)
    names = _names_of(study, objectives)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE or len(trial.params)]
    require(bool(complete), "study", study.study_name, "one with a trial that is complete")
    return [(_setting(trial, space), _value(trial, names)) for trial in complete]


def _require_names(trials: Sequence[FrozenTrial], space: Space, ignore: Sequence[str]) -> None:
    there = {name for trial in trials for name in trial.params}
    unknown = sorted(there - set(space.names) - set(ignore))
    hint = suggest(unknown[0], space.names) if unknown else ""
    remedy = f"with these parameters of the study as dimensions, or name them in ignore=[...]; {hint}"
    require(not unknown, "space", unknown, remedy)
    missing = [name for name in space.names if name not in there]
    require(not missing or not there, "study", missing, "one whose trials have these dimensions of the space")


def _names_of(study: Study, objectives: Mapping[str, str] | Sequence[str] | None) -> list[str] | None:
    """Return what the values are called; None for one without a name."""
    directions = [NAMES.get(direction, "?") for direction in study.directions]
    if isinstance(objectives, str):
        raise TypeError(f"objectives={objectives!r}: must be a list of names, or a dict of directions")
    if isinstance(objectives, Mapping):
        remedy = f"the directions of the study, {directions}"
        require(list(objectives.values()) == directions, "objectives", dict(objectives), remedy)
    names = list(objectives or study.metric_names or [])
    if not names and len(directions) == 1:
        return None
    remedy = f"a name for each of the {len(directions)} values of the study, in order"
    require(len(names) == len(directions), "objectives", names or None, remedy)
    return names


def _setting(trial: FrozenTrial, space: Space) -> Any:
    values = [_given(trial.params.get(n), one) for n, one in zip(space.names, space.dimensions, strict=True)]
    return space.assemble(values)


def _given(value: Any, dimension: Dimension) -> Any:
    """Return a parameter as the space has it: a text may stand for a function or a class."""
    if isinstance(dimension, Choice) and isinstance(value, str) and value not in dimension.values:
        return dict(zip(dimension.texts, dimension.values, strict=True)).get(value, value)
    return value


def _value(trial: FrozenTrial, names: list[str] | None) -> Any:
    if trial.state == TrialState.FAIL or trial.values is None:
        return None
    if names is None:
        return trial.value
    numbers = {
        name: value
        for name, value in trial.user_attrs.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return numbers | dict(zip(names, trial.values, strict=True))
