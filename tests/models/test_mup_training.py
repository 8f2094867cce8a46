"""What maximal update parametrisation is for: activations that change as much at each width, and wider is better."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxhpt.models import mup

TOKENS, CONTEXT, BASE, WIDTHS, HEADS, STEPS = 16, 8, 64, (64, 256, 1024), 4, 6


class Block(nnx.Module):
    """A transformer of one block, whose heads grow with the width; it returns its activations, too."""

    def __init__(self, width, rngs, scaled=True):
        size = width // HEADS
        self.scale = mup.attention_scale(size, BASE // HEADS) if scaled else size**-0.5
        self.embed = nnx.Embed(TOKENS, width, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(3)])
        self.qkv, self.mix = nnx.Linear(width, 3 * width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)
        self.up, self.down = nnx.Linear(width, 2 * width, rngs=rngs), nnx.Linear(2 * width, width, rngs=rngs)
        self.head = nnx.Linear(width, TOKENS, rngs=rngs)

    def __call__(self, codes):
        x = self.embed(codes)
        q, k, v = jnp.moveaxis(self.qkv(self.norms[0](x)).reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        attention = jnp.einsum("bthd,bshd->bhts", q, k) * self.scale
        seen = jax.nn.dot_product_attention(q, k, v, scale=self.scale, is_causal=True).reshape(x.shape)
        mixed = x + self.mix(seen)
        after = mixed + self.down(nnx.gelu(self.up(self.norms[1](mixed))))
        logits = self.head(self.norms[2](after))
        return logits, {"embedding": x, "attention": attention, "mixed": mixed, "block": after, "logits": logits}


def batch(seed):
    """Return text that can be learnt: each character follows from the two before it."""
    start = jax.random.randint(jax.random.key(seed), (16, 2), 0, TOKENS, jnp.int32)
    rows = [start[:, 0], start[:, 1]]
    for _ in range(CONTEXT - 1):
        rows.append((3 * rows[-1] + rows[-2] + 1) % TOKENS)
    codes = jnp.stack(rows, 1)
    return codes[:, :-1], codes[:, 1:]


@functools.cache
def trainer(width, scaled=True):
    """Return (seed, learning rate) -> activations before and after, and losses f32[STEPS]: compiled."""
    found = mup.widths(lambda width: Block(width, nnx.Rngs(0)), BASE, width if scaled else BASE)

    def run(seed, rate):
        module = Block(width, nnx.Rngs(jax.random.key(seed)), scaled)
        optimizer = optax.adam(rate)
        if scaled:
            module, optimizer = mup.initialised(module, found), mup.scaled(optimizer, found, "adam")
        graph, weights = nnx.split(module, nnx.Param)
        x, y = batch(0)

        def loss(weights):
            return optax.softmax_cross_entropy_with_integer_labels(nnx.merge(graph, weights)(x)[0], y).mean()

        def step(carry, _):
            weights, state = carry
            value, grads = jax.value_and_grad(loss)(weights)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes inside
                updates, state = optimizer.update(grads, state, weights)
            return (optax.apply_updates(weights, updates), state), value

        (after, _), losses = jax.lax.scan(step, (weights, optimizer.init(weights)), length=STEPS)
        return nnx.merge(graph, weights)(x)[1], nnx.merge(graph, after)(x)[1], losses

    return jax.jit(run)


def checked(scaled):
    return mup.coordinate_check(lambda width, seed: trainer(width, scaled)(seed, 0.005)[:2], WIDTHS, seeds=2)


def losses(width, rate, scaled=True):
    """Return the training loss of each step, f64[STEPS]."""
    return np.mean([trainer(width, scaled)(seed, rate)[2] for seed in range(2)], axis=0, dtype=np.float64)


def test_activations_change_as_much_at_each_width():
    slopes = checked(True).slopes
    assert abs(slopes.pop("attention")) < 0.2  # it comes to its limit later, from the width of 512 on
    assert max(map(abs, slopes.values())) < 0.1, slopes


def test_without_it_they_change_the_more_the_wider():
    slopes = checked(False).slopes
    assert all(slopes[name] > 0.4 for name in ("attention", "mixed", "block", "logits")), slopes
    assert abs(slopes["embedding"]) < 0.1  # each of its entries moves by itself


@pytest.mark.parametrize("rate", [0.003, 0.01])
def test_wider_is_better_at_the_same_settings(rate):
    curves = [losses(width, rate) for width in (16, *WIDTHS)]
    for narrow, wide in itertools.pairwise(curves):
        assert (wide[2:] < narrow[2:]).all(), curves


def test_without_it_the_widest_is_the_worst():
    curves = [losses(width, 0.01, scaled=False) for width in WIDTHS]
    assert (curves[-1][2:] > curves[0][2:]).all(), curves
