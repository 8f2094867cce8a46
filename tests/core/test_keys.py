"""Keys and cheap random words: fair bits, even uniforms, normal normals, and streams that never meet."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.keys import Draws, Stream, key_of, normals, uniforms, words

NUM = 2**16
SIGMA = 0.5 / np.sqrt(NUM)  # of the share of a fair bit
KEY = jax.random.key(7)
many_keys = jax.jit(jax.vmap(lambda n: words(jax.random.fold_in(KEY, n), (4,))))


def bits(drawn):
    """Take words apart: u32[N] -> 0.0 or 1.0, f64[N, 32]."""
    return np.unpackbits(np.ascontiguousarray(drawn).view(np.uint8)).reshape(-1, 32).astype(np.float64)


def correlations(a, b):
    """Correlate every bit with every other one, in sigmas: [N, 32] and [N, 32] -> [32, 32]."""
    return (2 * a - 1).T @ (2 * b - 1) / np.sqrt(len(a))


@pytest.mark.parametrize(("draw", "dtype"), [(words, jnp.uint32), (uniforms, jnp.float32), (normals, jnp.float32)])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 3)])
def test_shapes_and_dtypes_are_what_was_asked_for(draw, dtype, shape):
    found = jax.eval_shape(lambda: draw(KEY, shape))
    assert (found.shape, found.dtype) == (shape, dtype)


@pytest.mark.parametrize("draw", [words, uniforms, normals])
def test_the_same_key_gives_the_same_bits_and_another_key_others(draw):
    first, again = draw(KEY, (64,)), draw(jax.random.key(7), (64,))
    np.testing.assert_array_equal(first, again)
    assert np.mean(np.asarray(first) == np.asarray(draw(jax.random.key(8), (64,)))) < 0.1


def test_words_do_not_depend_on_the_shape_or_the_kind_of_key():
    flat = np.asarray(words(KEY, (24,)))
    np.testing.assert_array_equal(words(KEY, (2, 3, 4)).reshape(-1), flat)
    np.testing.assert_array_equal(jax.jit(lambda key: words(key, (24,)))(KEY), flat)
    np.testing.assert_array_equal(words(jax.random.PRNGKey(7), (24,)), flat)


def test_words_of_one_key_are_all_different():
    """The hash permutes the counter, so that nothing can come twice."""
    assert len(np.unique(np.asarray(words(KEY, (NUM,))))) == NUM


def test_every_bit_is_set_half_of_the_time():
    share = bits(np.asarray(words(KEY, (NUM,)))).mean(axis=0)
    np.testing.assert_allclose(share, 0.5, atol=5 * SIGMA)


def test_the_first_words_of_consecutive_keys_have_fair_bits():
    drawn = np.asarray(many_keys(jnp.arange(NUM)))
    for column in drawn.T:
        np.testing.assert_allclose(bits(column).mean(axis=0), 0.5, atol=5 * SIGMA)


@pytest.mark.parametrize("lag", [1, 2, 256])
def test_bits_of_consecutive_words_know_nothing_of_one_another(lag):
    found = bits(np.asarray(words(KEY, (NUM,))))
    assert np.abs(correlations(found[lag:], found[:-lag])).max() < 5.5


@pytest.mark.parametrize(("place", "other"), [(0, 0), (0, 1), (3, 0)])
def test_bits_of_consecutive_keys_know_nothing_of_one_another(place, other):
    drawn = np.asarray(many_keys(jnp.arange(NUM)))
    assert np.abs(correlations(bits(drawn[1:, place]), bits(drawn[:-1, other]))).max() < 5.5


def test_bits_of_one_word_know_nothing_of_one_another():
    found = bits(np.asarray(words(KEY, (NUM,))))
    assert np.abs(correlations(found, found) - np.eye(32) * np.sqrt(NUM)).max() < 5.5


def test_uniforms_are_strictly_inside_and_even():
    found = np.asarray(uniforms(KEY, (NUM,)), np.float64)
    assert np.all((found > 0) & (found < 1))
    assert abs(found.mean() - 0.5) < 5 * np.sqrt(1 / 12 / NUM)
    assert abs(found.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / NUM)
    counts = np.bincount(np.floor(found * 256).astype(int), minlength=256)
    chi = ((counts - NUM / 256) ** 2 / (NUM / 256)).sum()
    assert abs(chi - 255) < 5 * np.sqrt(2 * 255)


def test_pairs_of_neighbouring_uniforms_fill_the_square_evenly():
    found = np.asarray(uniforms(KEY, (NUM, 2)), np.float64)
    cells = np.floor(found * 16).astype(int)
    counts = np.bincount(cells[:, 0] * 16 + cells[:, 1], minlength=256)
    assert abs(((counts - NUM / 256) ** 2 / (NUM / 256)).sum() - 255) < 5 * np.sqrt(2 * 255)


@pytest.mark.parametrize("word", [0, 2**32 - 1])
@pytest.mark.parametrize(("draw", "least", "most"), [(uniforms, 0.0, 1.0), (normals, -6.0, 6.0)])
def test_the_smallest_and_largest_words_are_inside_too(monkeypatch, draw, least, most, word):
    monkeypatch.setattr("jaxhpt.core.keys.words", lambda key, shape: jnp.full(shape, word, jnp.uint32))
    found = np.asarray(draw(KEY, (2,)))
    assert np.all((found > least) & (found < most))
    assert (found[0] > (least + most) / 2) == (word > 0)


def test_normals_have_the_moments_of_normals():
    found = np.asarray(normals(KEY, (NUM,)), np.float64)
    assert np.isfinite(found).all()
    for power, moment, of_square in [(1, 0.0, 1.0), (2, 1.0, 3.0), (3, 0.0, 15.0), (4, 3.0, 105.0)]:
        assert abs((found**power).mean() - moment) < 5 * np.sqrt((of_square - moment**2) / NUM)


def test_keys_of_all_streams_and_numbers_differ():
    roots, numbers = [jax.random.key(0), jax.random.key(1)], range(10)
    keys = [key_of(root, stream, n) for root, stream, n in itertools.product(roots, Stream, numbers)]
    found = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}
    assert len(found) == 2 * len(Stream) * 10
    assert len(set(Stream)) == len(Stream.__members__) == 12


def test_the_first_key_of_a_stream_is_number_0():
    first, zeroth = (jax.random.key_data(k) for k in (key_of(KEY, Stream.ASK), key_of(KEY, Stream.ASK, 0)))
    np.testing.assert_array_equal(first, zeroth)


def test_draws_take_the_words_of_a_key_in_turn():
    draws, whole = Draws(KEY), np.asarray(words(KEY, (20,)))
    taken = [np.asarray(draws.words(shape)).ravel() for shape in ((), (3, 2), (13,))]
    np.testing.assert_array_equal(np.concatenate(taken), whole)
    again = Draws(KEY)
    np.testing.assert_array_equal(again.uniforms((5, 4)), uniforms(KEY, (5, 4)))
    np.testing.assert_array_equal(Draws(KEY).normals((5, 4)), normals(KEY, (5, 4)))
    assert not np.isin(np.asarray(again.uniforms((1000,))), np.asarray(uniforms(KEY, (20,)))).any()
