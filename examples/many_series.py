"""Tune a small forecasting net for each of many time series, all searches in one program.

Run: python examples/many_series.py [series] [trials]

The series are generated: trend, season, and noise that remembers, of strengths that differ from one to the next. Each
net reads two seasons and tells the next value. Every search tries the same settings, so what is best for each series
alone stands beside the one setting that is best for all, both judged by values that chose nothing.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt

SEASON, LENGTH, HIDDEN = 12, 240, 8
SPACE = {
    "lr": jaxhpt.Float(1e-3, 0.3, log=True),
    "decay": jaxhpt.Float(1e-5, 10.0, log=True),
    "seasonal": jaxhpt.Bool(),  # whether it forecasts the difference to the value one season ago
}


def generate(series, seed=0):
    """Return series [R, LENGTH] of mean 0 and deviation 1."""
    rng, t = np.random.default_rng(seed), np.arange(LENGTH)
    trend = rng.normal(0, 1, (series, 1)) * t / LENGTH
    season = rng.exponential(1, (series, 1)) * np.sin(2 * np.pi * (t / SEASON + rng.random((series, 1))))
    noise, memory = rng.normal(0, 1, (series, LENGTH)) * rng.exponential(0.7, (series, 1)), rng.uniform(0, 0.95, series)
    for i in range(1, LENGTH):
        noise[:, i] += memory * noise[:, i - 1]
    values = trend + season + noise
    return ((values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)).astype("float32")


def rows(values):
    """Cut series into windows and the values that follow, for training, validation and test: (x, y) each."""
    x = np.stack([values[:, i : i + 2 * SEASON] for i in range(LENGTH - 2 * SEASON)], axis=1)
    y = values[:, 2 * SEASON :]
    return [(x[:, a:b], y[:, a:b]) for a, b in ((0, 96), (96, 156), (156, None))]


def init(key, h):
    """Return weights, and the state of AdamW."""
    first, second = jax.random.split(key)
    hidden, out = jax.random.normal(first, (2 * SEASON, HIDDEN)) / 5, jax.random.normal(second, (HIDDEN,)) / 9
    weights = {"a": hidden, "b": out, "c": jnp.zeros(2 * SEASON)}
    return weights, optax.adamw(h["lr"], weight_decay=h["decay"]).init(weights)


def error(weights, batch, h):
    """Return the mean squared error of the forecasts."""
    x, y = batch
    found = jnp.tanh(x @ weights["a"]) @ weights["b"] + x @ weights["c"]
    return jnp.mean((found + jnp.where(h["seasonal"], x[:, -SEASON], 0.0) - y) ** 2)


def step(state, batch, h, key):
    """Take a step of AdamW."""
    rule = optax.adamw(h["lr"], weight_decay=h["decay"])
    updates, memory = rule.update(jax.grad(error)(state[0], batch, h), state[1], state[0])
    return optax.apply_updates(state[0], updates), memory


def evaluate(state, held, h):
    """Return the error that chooses, and the one that is only looked at."""
    return {"loss": error(state[0], held["valid"], h), "test": error(state[0], held["test"], h)}


def main(series=500, trials=32, steps=100):
    """Search for each series; print what that is worth, and what it takes."""
    train, valid, test = rows(generate(series))
    held = {"valid": valid, "test": test}
    common = {"init": init, "evaluate": evaluate, "objective": "loss", "batch_size": 24, "steps": steps}
    common |= {"trials": trials, "lanes": 16, "algorithm": "quasi_random", "progress": False}
    begun = time.perf_counter()
    results = jaxhpt.search_many(step, SPACE, train_data=train, valid_data=held, seed=[0] * series, **common)
    seconds = time.perf_counter() - begun
    loss, error_then = (np.array([[t.metrics[n] for t in r.trials] for r in results]) for n in ("loss", "test"))
    own, shared = error_then[np.arange(series), loss.argmin(1)], error_then[:, loss.mean(0).argmin()]
    first, rest = jax.tree.map(lambda a: a[0], (train, held))
    for _ in range(3):  # the first one compiles
        begun = time.perf_counter()
        jaxhpt.search(step, SPACE, train_data=first, valid_data=rest, **common)
    alone = (time.perf_counter() - begun) * series
    print(f"test error: {own.mean():.3f} tuned each on its own, {shared.mean():.3f} one setting for all,")
    print(f"{error_then.mean():.3f} a setting at random; lower on {(own < shared).mean():.0%} of the series")
    compiling = results[0].stats.compile_seconds
    print(f"{series} searches of {trials} trials: {seconds - compiling:.1f} s, {compiling:.1f} s of compiling before;")
    print(f"one after the other about {alone:.0f} s")
    return results, own, shared


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
