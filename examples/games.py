"""Two small control tasks in JAX: a pole to balance, and a double pendulum to swing up. `rl.py` plays them.

Run: python examples/games.py    how long they last under random actions

CartPole: a reward of 1 a step until the pole falls. Acrobot: a reward of -1 a step until the tip is up. Both move as in
https://github.com/Farama-Foundation/Gymnasium.

References:
  Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983).
  Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse coding" (1996).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

LIMIT = 500  # steps of a game


class Game(NamedTuple):
    """A task; its state is f32[5], four numbers that move, and the steps so far.

    Attributes:
      move: (f32[4], action i32) -> f32[4], whether it is over.
      look: f32[4] -> what an agent sees, f32[inputs].
      inputs: numbers it sees.
      actions: how many there are.
      start: how far from 0 the numbers may be at first.
      reward: of each step.
    """

    move: Callable
    look: Callable
    inputs: int
    actions: int
    start: float
    reward: float

    def begin(self, key):
        """Return the state of a new game."""
        return jnp.append(jax.random.uniform(key, (4,), minval=-self.start, maxval=self.start), 0.0)

    def play(self, key, state, action):
        """Make a step: the state, a new game's where this one has ended, and whether it has."""
        after, over = self.move(state[:4], action)
        over |= state[4] + 1 >= LIMIT
        return jnp.where(over, self.begin(key), jnp.append(after, state[4] + 1)), over


def push(state, right):
    """Push the cart for a fiftieth of a second: position, velocity, angle of the pole and its velocity."""
    x, v, angle, turn = state
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    total = (jnp.where(right, 10.0, -10.0) + 0.05 * turn**2 * sin) / 1.1
    spin = (9.8 * sin - cos * total) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    after = jnp.stack([x + v / 50, v + (total - 0.05 * spin * cos / 1.1) / 50, angle + turn / 50, turn + spin / 50])
    return after, (jnp.abs(after[0]) > 2.4) | (jnp.abs(after[2]) > 0.2095)


def swing(state, action):
    """Turn the joint of the pendulum for a fifth of a second: two angles, from below, and their velocities."""

    def slope(state):
        first, second, v, w = state
        near, far = 3.5 + jnp.cos(second), 1.25 + jnp.cos(second) / 2  # moments of inertia
        tip = 4.9 * jnp.sin(first + second)
        pull = 14.7 * jnp.sin(first) + tip - (w / 2 + v) * w * jnp.sin(second)
        force = action - 1.0 + far / near * pull - v**2 * jnp.sin(second) / 2 - tip
        bend = force / (1.25 - far**2 / near)
        return jnp.stack([v, w, -(far * bend + pull) / near, bend])

    a = slope(state)
    b = slope(state + 0.1 * a)
    c = slope(state + 0.1 * b)
    after = state + (a + 2 * b + 2 * c + slope(state + 0.2 * c)) / 30
    angles, most = jnp.mod(after[:2] + jnp.pi, 2 * jnp.pi) - jnp.pi, jnp.pi * jnp.asarray([4.0, 9.0])
    after = jnp.concatenate([angles, jnp.clip(after[2:], -most, most)])
    return after, -jnp.cos(angles[0]) - jnp.cos(angles.sum()) > 1


def circle(state):
    """Return angles as cosines and sines, and velocities in parts of their usual range."""
    return jnp.concatenate([jnp.cos(state[:2]), jnp.sin(state[:2]), state[2:] / 4])


GAMES = {
    "cartpole": Game(push, lambda state: state, inputs=4, actions=2, start=0.05, reward=1.0),
    "acrobot": Game(swing, circle, inputs=6, actions=3, start=0.1, reward=-1.0),
}


def length(game, act, key, games):
    """Return the mean steps of so many games by a policy: (key, what is seen f32[inputs]) -> action."""

    def one(key):
        def step(t, now):
            state, steps, going = now
            own = jax.random.fold_in(key, t)
            after, over = game.play(own, state, act(own, game.look(state[:4])))
            return after, steps + going, going * ~over

        return jax.lax.fori_loop(0, LIMIT, step, (game.begin(key), 0.0, 1.0))[1]

    return jax.vmap(one)(jax.random.split(key, games)).mean()


def main(games=100):
    """Print the mean length of games under random actions; return it for each."""
    found = {}
    for name, game in GAMES.items():

        def act(key, seen, actions=game.actions):
            return jax.random.randint(key, (), 0, actions)

        found[name] = float(jax.jit(length, static_argnums=(0, 1, 3))(game, act, jax.random.key(0), games))
        print(f"{name}: {found[name]:.1f} steps")
    return found


if __name__ == "__main__":
    main()
