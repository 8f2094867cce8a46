"""The constants of Gaussian processes and of the searches that ask them: each with its source or its measurement.

"Ablation" is `benchmarks/ablation.py`: what a search loses without it, on tasks that chose none of these. Where nothing
is said, a constant is a plain choice that was never tuned.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class GPConfig:
    """Constants of the Bayesian wing. No settings: what a user may change is an argument of `Bayesian`.

    Attributes:
      scale_prior: mean and deviation of a log length-scale, before log(D) / 2, which is of Hvarfner et al.,
        https://arxiv.org/abs/2402.02229 (2024). Their prior is wider; its mode as a density of the scale is the mean.
        Narrow: at 30 trials a wide one lets noise in one dimension explain everything.
      signal_prior: mean and deviation of the logarithm of the signal variance; scores are standardized.
      noise_prior: the same of the noise variance: little noise, unless trials tell of it.
      scale_bounds: least and largest length-scale, in units of the range.
      signal_bounds: of the signal variance.
      noise_bounds: of the noise variance, beside the floor.
      noise_shared: trainings' worth by which the known noise of a trial is drawn to that of all trials.
      most_noise: deviation of a trial's known noise, at most, in deviations of the objective.
      noise_floor: variance below which float32 cannot factorise crowded places.
      absence: distance between a dimension that exists and one that does not, in units of the range.
      tail_from: the best of so many are as they are, the others bent by a logarithm. Ablation: `log_tail`.
      broken_cost: what a broken constraint costs, in deviations of the objective: more than any of those.
      fit_start: length-scale before D^(1/4), and log noise, at which a first fit begins: short scales, so that it is
        well conditioned.
      fit_steps: first step of each logarithm, the largest, and the least to go on with in a later event. Rprop:
        Blum and Riedmiller (2013), see `gp_fit`.
      fit_rows: rows that the hyperparameters are fitted to; the time of a fit grows with their cube.
      first_fit_steps: steps of the first fit of a search.
      least_fit_steps: steps of a later one, where one proposal is asked for; one more for each further one.
      least_trials: trials that a model needs.
      num_local_starts: best trials that local candidates begin at.
      local_steps: least and largest deviation of their steps, in units of the range.
      ascent_levels: levels of a number that follows the gradient as if it were continuous.
      ascent_steps: first and largest step of an ascent, in length-scales.
      num_ascent_steps: how many. Ablation: `ascent`.
      shortlist: places that are picked from besides those of ascents: at most, and for each pick.
      repeat_cost: what a setting that was tried before costs: more than any other difference.
      wide_dimensions: dimensions beyond which most of a space is far from all trials, and "auto" expects improvement.
      front_size: points of a Pareto front that are counted with.
      front_margin: share of a front's range by which it may grow at either end: with less, a short one stays short.
    """

    scale_prior: tuple[float, float] = (-0.85, 0.7)
    signal_prior: tuple[float, float] = (0.0, 0.5)
    noise_prior: tuple[float, float] = (-6.0, 2.0)
    scale_bounds: tuple[float, float] = (5e-3, 1e3)
    signal_bounds: tuple[float, float] = (0.05, 20.0)
    noise_bounds: tuple[float, float] = (6e-6, 1.0)
    noise_shared: float = 4.0
    most_noise: float = 3.0
    noise_floor: float = 1e-4
    absence: float = 0.5
    tail_from: int = 4
    broken_cost: float = 100.0
    fit_start: tuple[float, float] = (0.3, -4.0)
    fit_steps: tuple[float, float, float] = (0.2, 1.0, 0.1)
    fit_rows: int = 256
    first_fit_steps: int = 25
    least_fit_steps: int = 6
    least_trials: int = 3
    num_local_starts: int = 10
    local_steps: tuple[float, float] = (5e-3, 0.5)
    ascent_levels: int = 10
    ascent_steps: tuple[float, float] = (0.1, 0.5)
    num_ascent_steps: int = 10
    shortlist: tuple[int, int] = (448, 128)
    repeat_cost: float = 1e6
    wide_dimensions: int = 20
    front_size: int = 32
    front_margin: float = 0.15


CONFIG = GPConfig()
