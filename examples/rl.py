"""Tune PPO, whole agents side by side: population-based training and ASHA beside random search, at equal updates.

Run: python examples/rl.py [trials] [seeds]

The task is CartPole, written in JAX below (Barto, Sutton and Anderson, "Neuronlike adaptive elements", 1983, in the
form of Gym): reward 1 a step until the pole falls, at most 500. An agent learns from 16 games at once, by proximal
policy optimisation (Schulman et al., https://arxiv.org/abs/1707.06347, 2017).
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt

GAMES, LENGTH, EPOCHS, UPDATES, LIMIT = 16, 32, 4, 16, 500
SPACE = {
    "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
    "entropy": jaxhpt.Float(1e-5, 1e-1, log=True),
    "clip": jaxhpt.Float(0.05, 0.5),
    "discount": jaxhpt.Float(0.9, 0.999),
    "trace": jaxhpt.Float(0.5, 1.0),  # lambda of generalised advantages
}
WAYS = {  # agents for each of random search, and how long they train: the last two stop the worse, or copy the better
    "random": (1.0, {}),
    "ASHA": (2.5, {"scheduler": jaxhpt.ASHA(min_steps=4)}),
    "PBT": (0.25, {"scheduler": jaxhpt.PBT(perturbation_interval=8)}),
}


def begin(key):
    """Return a game: position, velocity, angle and its velocity, all nearly 0, and no steps; f32[5]."""
    return jnp.append(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), 0.0)


def play(key, game, right):
    """Push for a fiftieth of a second: the game, another one where it has ended, and whether it has."""
    x, v, angle, turn, steps = game
    cos, sin, total = (
        jnp.cos(angle),
        jnp.sin(angle),
        (jnp.where(right, 10.0, -10.0) + 0.05 * turn**2 * jnp.sin(angle)) / 1.1,
    )
    spin = (9.8 * sin - cos * total) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    after = jnp.stack([x + v / 50, v + (total - 0.05 * spin * cos / 1.1) / 50, angle + turn / 50, turn + spin / 50])
    over = (jnp.abs(after[0]) > 2.4) | (jnp.abs(after[2]) > 0.2095) | (steps + 1 >= LIMIT)
    return jnp.where(over, begin(key), jnp.append(after, steps + 1)), over


def net(w, game):
    """Return log-probabilities of left and right, and the value: f32[..., 2], f32[...]."""
    found = jnp.tanh(game[..., :4] @ w["a"] + w["b"]) @ w["c"]
    return jax.nn.log_softmax(found[..., :2]), found[..., 2] * 30  # rewards add up to tens


def init(key, h):
    """Begin games, and an agent that knows nothing of them."""
    first, last = jax.random.split(key)
    w = {"a": jax.random.normal(first, (4, 32)) / 2, "b": jnp.zeros(32), "c": jnp.zeros((32, 3))}
    return {"w": w, "opt": optax.adam(h["lr"]).init(w), "games": jax.vmap(begin)(jax.random.split(last, GAMES))}


def step(state, batch, h, key):
    """Play LENGTH pushes in all games, and learn from them EPOCHS times."""

    def push(games, key):
        logs, value = net(state["w"], games)
        right = jax.random.categorical(key, logs)
        after, over = jax.vmap(play)(jax.random.split(key, GAMES), games, right)
        return after, (games, right, jnp.take_along_axis(logs, right[:, None], 1)[:, 0], value, over)

    def back(now, seen):
        advantage, later = now
        value, over = seen
        error = 1.0 + h["discount"] * jnp.where(over, 0.0, later) - value
        advantage = error + h["discount"] * h["trace"] * jnp.where(over, 0.0, advantage)
        return (advantage, value), advantage

    games, (seen, right, before, value, over) = jax.lax.scan(push, state["games"], jax.random.split(key, LENGTH))
    ahead = jnp.zeros(GAMES), net(state["w"], games)[1]
    advantage = jax.lax.scan(back, ahead, (value, over), reverse=True)[1]
    scaled, returns = (advantage - advantage.mean()) / (advantage.std() + 1e-6), advantage + value

    def loss(w):
        logs, value = net(w, seen)
        ratio = jnp.exp(jnp.take_along_axis(logs, right[..., None], -1)[..., 0] - before)
        gain = jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - h["clip"], 1 + h["clip"]) * scaled)
        return (h["entropy"] * (jnp.exp(logs) * logs).sum(-1) + 1e-3 * (value - returns) ** 2 - gain).mean()

    def learn(_, now):
        updates, opt = optax.adam(h["lr"]).update(jax.grad(loss)(now[0]), now[1])
        return optax.apply_updates(now[0], updates), opt

    w, opt = jax.lax.fori_loop(0, EPOCHS, learn, (state["w"], state["opt"]))
    return {"w": w, "opt": opt, "games": games}


def evaluate(state, data, h, key):
    """Return the mean length of eight games, played as the policy holds for best."""

    def push(_, now):
        game, length, going = now
        after, over = play(key, game, net(state["w"], game)[0].argmax())
        return after, length + going, going * ~over

    played = jax.vmap(lambda key: jax.lax.fori_loop(0, LIMIT, push, (begin(key), 0.0, 1.0))[1])
    return {"length": played(jax.random.split(key, 8)).mean()}


def main(trials=32, seeds=5):
    """Print what the best agents come to, of each way and seed, and how many updates that took."""
    table = {}
    for way, (share, how) in WAYS.items():
        longer = 1 / share if way == "PBT" else 1.0  # fewer agents, which train for as much in all
        task = jaxhpt.Task(init, step, evaluate, steps=int(UPDATES * longer), objective="length", direction="max")
        given = {"trials": int(trials * share), "lanes": max(1, trials // 4), "algorithm": "random", **how}
        found = [jaxhpt.search(task, SPACE, seed=seed, progress=False, **given) for seed in range(seeds)]
        table[way] = [(r.best.value, r.stats.events * r.stats.interval * r.stats.lanes) for r in found]
        (length, updates), spread = np.mean(table[way], axis=0), np.std([value for value, _ in table[way]])
        print(f"{way:8}{length:7.1f} +- {spread:5.1f} of {LIMIT}, {updates:8.0f} updates", flush=True)
    return table


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
