"""Sampler: Optuna's studies, with an algorithm of ours that proposes."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from jaxhpt.core.checks import named, require, require_count, require_seed
from jaxhpt.core.dimensions import Float
from jaxhpt.core.keys import root_of
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.optuna.study import CONSTRAINTS
from jaxhpt.integrations.optuna.view import View, metrics_of, room_for

with extra("optuna"):
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.search_space import IntersectionSearchSpace
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState

TRIALS = 256
VIEWS = 4  # search spaces that are kept at once
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Sampler(BaseSampler):
    """A sampler of Optuna that asks an algorithm of jaxhpt. Choose it for a study that you have and mean to keep.

    It proposes parameters together that all trials so far have, in the same ranges; the others are drawn at random, and
    so is the first trial. What others proposed - enqueued, added, sampled elsewhere - is learned from, and so are
    pruned trials, by their last report. Constraints are those of `constraints_func` or `Trial.set_constraint`.

    Args:
      algorithm: a name of `jaxhpt.ALGORITHMS`, or an instance.
      seed: of all randomness; None for another one each time.
      trials: that the study will have, about: some algorithms plan by it, and room is made for so many. Beyond it the
        room is doubled, which compiles anew.
      lanes: trials that run at once, such as `n_jobs`.
      constraints_func: of a trial that ended, to what is above 0 where a constraint is broken; as in Optuna.

    Raises:
      ValueError, TypeError: anything wrong with the arguments; and in a study, an algorithm that cannot follow several
        objectives.

    Example:
      >>> import optuna
      >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
      >>> study = optuna.create_study(sampler=Sampler("bayesian", seed=0, trials=32))
      >>> study.optimize(lambda trial: (trial.suggest_float("x", -1, 3) - 1) ** 2, n_trials=20)
      >>> study.best_value < 0.01
      True
    """

    def __init__(
        self,
        algorithm: str | Algorithm = DEFAULT_ALGORITHM,
        *,
        seed: int | None = None,
        trials: int = TRIALS,
        lanes: int = 1,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
    ) -> None:
        self._algorithm: Algorithm = named("algorithm", algorithm, ALGORITHMS, Algorithm)
        self._seed = _any_seed() if seed is None else require_seed(seed)
        self._trials, self._lanes = require_count("trials", trials), require_count("lanes", lanes)
        allowed = constraints_func is None or callable(constraints_func)
        require(allowed, "constraints_func", constraints_func, "a function of a trial, or None")
        self._constraints_func = constraints_func
        self._independent, self._common = RandomSampler(self._seed), IntersectionSearchSpace(include_pruned=True)
        self._views: dict[Any, View] = {}
        self._lock, self._made = threading.RLock(), 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what all trials so far have in common, and more than one value; see `BaseSampler`."""
        with self._lock:
            found = self._common.calculate(study)
        return {name: one for name, one in found.items() if not one.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose; see `BaseSampler`.

        Raises:
          ValueError: several objectives, and an algorithm that can follow one only.
        """
        self._require_one(study)
        if not search_space:
            return {}
        with self._lock:
            trials = study.get_trials(deepcopy=False)
            view = self._view(study, search_space, trials)
            view.learn(trials, trial.number)
            found = view.propose(trial.number)
        if found:
            return found
        draw = self._independent.sample_independent  # the algorithm has no more
        return {name: draw(study, trial, name, one) for name, one in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter at random; see `BaseSampler`."""
        self._require_one(study)
        with self._lock:
            return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Note by how much constraints are broken; see `BaseSampler`.

        Raises:
          ValueError: a NaN.
        """
        if self._constraints_func is None or state not in ENDED:
            return
        found = tuple(self._constraints_func(trial))
        require(not np.isnan(found).any(), "constraints_func", found, "numbers, no NaN")
        study._storage.set_trial_system_attr(trial._trial_id, CONSTRAINTS, found)

    def reseed_rng(self) -> None:
        """Go on with another seed; see `BaseSampler`."""
        with self._lock:
            self._seed = _any_seed()
            self._independent.reseed_rng()
            for view in self._views.values():
                view.proposer.reseed(root_of(self._seed))

    def _view(self, study: Study, search_space: dict[str, BaseDistribution], trials: list[FrozenTrial]) -> View:
        """Return the view of a study in a space: the one there is, unless it has become too small."""
        metrics = metrics_of(study.directions, trials)
        key = (study.study_name, tuple(sorted((name, repr(one)) for name, one in search_space.items())))
        view = self._views.pop(key, None)
        if view is None or not view.fits(trials, metrics):
            self._made += 1
            root = jax.random.fold_in(root_of(self._seed), self._made)
            room = room_for(len(trials), self._trials)
            view = View(self._algorithm, search_space, metrics, room, self._lanes, root)
        self._views[key] = view
        while len(self._views) > VIEWS:
            del self._views[next(iter(self._views))]
        return view

    def _require_one(self, study: Study) -> None:
        if len(study.directions) > 1 and not self._takes_several:
            name, remedy = type(self._algorithm).__name__, "take 'auto', 'nsga2', 'bayesian' or 'random'"
            raise ValueError(f"algorithm={name}: follows one objective, of {len(study.directions)}; {remedy}")

    @property
    def _takes_several(self) -> bool:
        """Whether the algorithm can follow several objectives."""
        metrics = metrics_of([StudyDirection.MINIMIZE] * 2, [])
        problem = Problem(Space.of(Float(0.0, 1.0)), metrics, self._trials, self._lanes, Schedule(1, 1))
        try:
            jax.eval_shape(lambda key: self._algorithm.init(key, problem), root_of(0))
        except ValueError:
            return False
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {"_views": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


def _any_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
