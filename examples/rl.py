"""Tune PPO, whole agents side by side: population-based training and ASHA beside random search, at equal updates.

Run: python examples/rl.py [cartpole | acrobot] [--quick]

An agent learns from 16 games at once, by proximal policy optimisation (Schulman et al., "Proximal policy optimization
algorithms", https://arxiv.org/abs/1707.06347, 2017). The best agent of a search is a lucky one, too: it plays again,
games that chose nothing. The default is that of https://github.com/vwxyzjn/cleanrl, which trains for much longer.
"""

import importlib.util
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from games import GAMES, LIMIT, length

import jaxhpt

AT_ONCE, EPOCHS = 16, 4
SIZES = {"cartpole": (32, 8), "acrobot": (128, 16)}  # steps of an update in each game, and updates of a training
SPACE = {"lr": jaxhpt.Float(1e-4, 1e-1, log=True), "entropy": jaxhpt.Float(1e-5, 1e-1, log=True)}
SPACE |= {"clip": jaxhpt.Float(0.05, 0.5), "discount": jaxhpt.Float(0.9, 0.999)}
SPACE |= {"trace": jaxhpt.Float(0.5, 1.0)}  # lambda of generalised advantages
DEFAULT = {"lr": 2.5e-4, "entropy": 0.01, "clip": 0.2, "discount": 0.99, "trace": 0.95}


def ways(updates):
    """Return (agents for each of random search, what is said to `search`) of each way to spend as many updates."""
    return {
        "default": (0.0, {"first": [DEFAULT]}),
        "random": (1.0, {}),
        "ASHA": (2.1, {"scheduler": jaxhpt.ASHA(min_steps=max(1, updates // 4))}),  # stops the worse
        "PBT": (0.25, {"scheduler": jaxhpt.PBT(perturbation_interval=updates // 2)}),  # few, which train for longer
    }


def net(w, seen):
    """Return log-probabilities of the actions, and the value: f32[..., actions], f32[...]."""
    found = jnp.tanh(seen @ w["a"] + w["b"]) @ w["c"]
    return jax.nn.log_softmax(found[..., 1:]), found[..., 0] * 30  # rewards add up to tens


def agents(game, steps):
    """Return init, step and evaluate of agents of one game, which make so many steps in an update."""
    play, look = jax.vmap(game.play), jax.vmap(lambda state: game.look(state[:4]))

    def init(key, h):
        first, last = jax.random.split(key)
        w = {"a": jax.random.normal(first, (game.inputs, 32)) / 2, "b": jnp.zeros(32)}
        w["c"] = jnp.zeros((32, 1 + game.actions))
        games = jax.vmap(game.begin)(jax.random.split(last, AT_ONCE))
        return {"w": w, "opt": optax.adam(h["lr"]).init(w), "games": games}

    def step(state, batch, h, key):
        def act(games, key):
            logs, value = net(state["w"], seen := look(games))
            action = jax.random.categorical(key, logs)
            after, over = play(jax.random.split(key, AT_ONCE), games, action)
            return after, (seen, action, jnp.take_along_axis(logs, action[:, None], 1)[:, 0], value, over)

        def back(now, seen):
            advantage, later = now
            value, over = seen
            error = game.reward + h["discount"] * jnp.where(over, 0.0, later) - value
            advantage = error + h["discount"] * h["trace"] * jnp.where(over, 0.0, advantage)
            return (advantage, value), advantage

        games, (seen, action, before, value, over) = jax.lax.scan(act, state["games"], jax.random.split(key, steps))
        ahead = jnp.zeros(AT_ONCE), net(state["w"], look(games))[1]
        advantage = jax.lax.scan(back, ahead, (value, over), reverse=True)[1]
        scaled, returns = (advantage - advantage.mean()) / (advantage.std() + 1e-6), advantage + value

        def loss(w):
            logs, value = net(w, seen)
            ratio = jnp.exp(jnp.take_along_axis(logs, action[..., None], -1)[..., 0] - before)
            gain = jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - h["clip"], 1 + h["clip"]) * scaled)
            return (h["entropy"] * (jnp.exp(logs) * logs).sum(-1) + 1e-3 * (value - returns) ** 2 - gain).mean()

        def learn(_, now):
            updates, opt = optax.adam(h["lr"]).update(jax.grad(loss)(now[0]), now[1])
            return optax.apply_updates(now[0], updates), opt

        w, opt = jax.lax.fori_loop(0, EPOCHS, learn, (state["w"], state["opt"]))
        return {"w": w, "opt": opt, "games": games}

    def evaluate(state, data, h, key, num=8):
        return {"length": length(game, lambda _, seen: net(state["w"], seen)[0].argmax(), key, num)}

    return init, step, evaluate


def tuned(name, way, trials, seed):
    """Search in one way; return the length of the best agent's fresh games, and updates in all."""
    steps, updates = SIZES[name]
    share, how = ways(updates)[way]
    functions, number = agents(GAMES[name], steps), max(1, int(trials * share))
    best = {"objective": "length", "direction": "max" if GAMES[name].reward > 0 else "min"}
    task = jaxhpt.Task(*functions, steps=int(updates / share) if way == "PBT" else updates, **best)
    given = {"trials": number, "lanes": min(number, max(1, trials // 4)), "algorithm": "random", **how}
    result = jaxhpt.search(task, SPACE, seed=seed, progress=False, **given)
    key = jax.random.key(1_000_000 + seed)  # of games that chose nothing
    again = jax.jit(lambda state: functions[2](state, None, {}, key, 100))(result.best_state)
    return float(again["length"]), result.stats.events * result.stats.interval * result.stats.lanes


def main(name="cartpole", trials=32, seeds=5, first=0):
    """Print what the best agents come to, of each way and seed, and save a plot; return (length, updates) by way."""
    cells = {way: [tuned(name, way, trials, first + seed) for seed in range(seeds)] for way in ways(2)}
    means = {way: np.mean(runs, axis=0) for way, runs in cells.items()}
    for way, (mean, updates) in means.items():
        gains = [f"{(mean - means[o][0]) * GAMES[name].reward:+.1f} over {o}" for o in ("default", "random")]
        told = f"{mean:7.1f} +- {np.std(cells[way], axis=0)[0]:5.1f} of {LIMIT} steps, better by {', '.join(gains)}"
        print(f"{way:8}{told}; {updates:6.0f} updates")
    if importlib.util.find_spec("matplotlib") is None:
        return print("no plot: pip install matplotlib") or cells
    pyplot = importlib.import_module("matplotlib.pyplot")
    pyplot.figure()
    for way, runs in cells.items():
        pyplot.plot([way] * len(runs), [run[0] for run in runs], "o")
    pyplot.ylabel(f"{name}: steps of a fresh game")
    pyplot.savefig(f"rl-{name}.png")
    return cells


if __name__ == "__main__":
    small = {"trials": 8, "seeds": 1} if "--quick" in sys.argv else {}
    main(*[word for word in sys.argv[1:] if word in GAMES], **small)
