"""Ray Tune: a search algorithm of its own, for which one of ours proposes."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from jaxhpt.core.checks import named, require, require_count, require_seed
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice, Float, Int
from jaxhpt.core.keys import root_of
from jaxhpt.core.metrics import MetricSpec, choose
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.proposer import Proposer
from jaxhpt.results.prior import first_of

with extra("ray"):
    from ray import cloudpickle
    from ray.tune.search import Searcher as RaySearcher
    from ray.tune.search import sample

TRIALS = 256


class Searcher(RaySearcher):
    """A search algorithm of Ray Tune. Choose it for trials that are processes on a cluster.

    The space is Ray's `param_space`, or one of ours. A trial counts by its last report, also where one of Ray's
    schedulers stops it. Ray saves and restores this with the experiment.

    Args:
      algorithm: a name of `jaxhpt.ALGORITHMS`, or an instance.
      space: as in `search`; None for the ranges in `param_space`: uniform, loguniform, randint, choice and their like.
      metric: what trials report, or a list of several; None for that of Ray's `TuneConfig`.
      mode: "min" or "max", or a list of one for each metric, "obs" for one that is not optimised; None as above.
      trials: that there will be, about, if Ray's `num_samples` does not tell; beyond it room is doubled, which compiles
        anew.
      lanes: trials that run at once, about.
      first: settings to try before all others, as in `search`.
      seed: of all randomness, from 0 to 2^32 - 1.

    Raises:
      ValueError, TypeError: anything wrong with the arguments; a range that has no like here.

    Example:
      >>> searcher, losses = Searcher(space={"x": Float(-1, 3)}, metric="loss", mode="min"), []
      >>> for trial_id in map(str, range(16)):
      ...     losses.append((searcher.suggest(trial_id)["x"] - 1) ** 2)
      ...     searcher.on_trial_complete(trial_id, {"loss": losses[-1]})
      >>> min(losses) < 0.001
      True

    Source: Liaw et al., Tune: a research platform for distributed model selection and training,
    https://arxiv.org/abs/1807.05118, 2018.
    """

    def __init__(
        self,
        algorithm: str | Algorithm = DEFAULT_ALGORITHM,
        *,
        space: Any = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        trials: int = TRIALS,
        lanes: int = 1,
        first: Sequence[Hparams] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(metric, mode)  # type: ignore[arg-type]  # lists, too
        self._algorithm: Algorithm = named("algorithm", algorithm, ALGORITHMS, Algorithm)
        self._room, self._lanes = require_count("trials", trials), require_count("lanes", lanes)
        self._seed, self._first = require_seed(seed), first
        self._space = None if space is None else Space.of(space)
        self._proposer: Proposer | None = None
        self._rows: dict[str, int] = {}  # of trials that run, by their ids
        self._units: list[np.ndarray] = []  # by row
        self._ended: dict[int, np.ndarray] = {}  # scores f64[K], by row
        self._begin()

    def set_search_properties(self, metric: Any, mode: Any, config: dict, **spec: Any) -> bool:
        """Take what Ray's `Tuner` was given; see Ray's `Searcher`."""
        if self._proposer is not None:
            return False
        super().__init__(self._metric or metric, self._mode or mode)
        self._room, own = max(self._room, spec.get("num_samples", 0)), self._space is not None
        if self._space is None:
            self._space = Space.of(space_of(config))
        self._begin()
        return not own

    def suggest(self, trial_id: str) -> Any:
        """Return a setting, or that there are no more; see Ray's `Searcher`.

        Raises:
          ValueError: there is no space, no metric or no mode.
        """
        proposer, row = self._ready(), len(self._units)
        if row < len(self._own):
            unit = self._own[row]
            proposer.enter([unit])
        elif (found := proposer.ask()) is not None:
            unit = found[1]
        else:
            return RaySearcher.FINISHED
        self._rows[trial_id] = row
        self._units.append(unit)
        return proposer.space.label(unit)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Learn what a trial came to; see Ray's `Searcher`.

        Raises:
          ValueError: its last report lacks a metric.
        """
        row = self._rows.pop(trial_id, None)
        if row is not None:
            proposer = self._ready()
            self._ended[row] = _scores(proposer.metrics, None if error else result)
            proposer.tell([row], [self._ended[row]], [False])

    def save(self, checkpoint_path: str) -> None:
        """Write what was proposed, and what it came to; see Ray's `Searcher`."""
        pathlib.Path(checkpoint_path).write_bytes(cloudpickle.dumps(self.__getstate__()))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what was written; see Ray's `Searcher`."""
        self.__setstate__(cloudpickle.loads(pathlib.Path(checkpoint_path).read_bytes()))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_proposer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _ready(self) -> Proposer:
        """Return what proposes, with room for one more."""
        lacking = [name for name in ("space", "metric", "mode") if getattr(self, f"_{name}") is None]
        remedy = "given: Ray hands on those of its TuneConfig only beside a param_space"
        require(not lacking, " and ".join(lacking), None, remedy)
        if len(self._units) == self._room:
            self._room *= 2
            self._begin()
        assert self._proposer is not None
        return self._proposer

    def _begin(self) -> None:
        """Begin in the room there is, with all that is known; if it is known yet what to search."""
        if self._space is None or not self._metric or not self._mode:
            return
        metrics, root = _metrics_of(self._metric, self._mode), jax.random.fold_in(root_of(self._seed), len(self._units))
        self._own = np.asarray(first_of(self._first, self._space, self._room))
        self._proposer = Proposer(self._algorithm, self._space, metrics, self._room, self._lanes, root)
        self._proposer.enter(self._units)
        self._proposer.tell(list(self._ended), list(self._ended.values()), [False] * len(self._ended))


def space_of(config: dict, path: str = "") -> dict[str, Any]:
    """Return the ranges of Ray's `param_space` as dimensions; what is fixed there stays with Ray.

    Raises:
      ValueError: a range that has no like here.

    Example:
      >>> from ray import tune
      >>> space = space_of({"opt": {"lr": tune.loguniform(1e-3, 1.0)}, "depth": tune.randint(1, 5), "data": "digits"})
      >>> space == {"opt": {"lr": Float(1e-3, 1.0, log=True)}, "depth": Int(1, 4)}
      True
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        inner = f"{path}{name}"
        if isinstance(value, sample.Domain) or (isinstance(value, dict) and "grid_search" in value):
            found[name] = _dimension_of(value, inner)
        elif isinstance(value, dict) and (below := space_of(value, f"{inner}/")):
            found[name] = below
    return found


def _dimension_of(value: Any, path: str) -> Dimension:
    sampler = value.get_sampler() if isinstance(value, sample.Domain) else None
    step, sampler = (sampler.q, sampler.sampler) if isinstance(sampler, sample.Quantized) else (None, sampler)
    log = isinstance(sampler, sample.LogUniform)
    known = log or isinstance(sampler, sample.Uniform)
    if known and isinstance(value, sample.Categorical):
        return Choice(value.categories)
    if known and isinstance(value, sample.Float):
        return Float(value.lower, value.upper, log=log, step=step)
    if known and isinstance(value, sample.Integer):
        by = int(step or 1)
        last = value.upper - (by == 1)  # Ray counts the upper end among steps alone
        return Int(-(-value.lower // by) * by, last // by * by, log=log, step=by)
    raise ValueError(f"param_space[{path!r}]={value!r}: has no like; take uniform, loguniform, randint or choice")


def _metrics_of(metric: Any, mode: Any) -> MetricSpec:
    """Return what trials report, from Ray's names and modes."""
    names, modes = ([metric], [mode]) if isinstance(metric, str) else (metric, mode)
    told = dict(zip(names, modes, strict=True))
    return choose(tuple(names), objectives={name: way for name, way in told.items() if way != "obs"})


def _scores(metrics: MetricSpec, result: dict | None) -> np.ndarray:
    """Return what a trial came to, f64[K]: all +inf where it failed, or ended before a report."""
    missing = [name for name in metrics.names if result and name not in result]
    require(not missing, "metric", missing, f"among what trials report: {sorted(result or ())}")
    return metrics.host_scores({name: result[name] for name in metrics.names} if result else None)
