"""Hashes: equal rows meet and others rarely do; what was entered in a table is found, all of it and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.hashing import contained, empty_table, fingerprint, inserted, repeats


def test_equal_rows_have_equal_fingerprints_wherever_they_stand():
    rows = jax.random.uniform(jax.random.key(0), (50, 3))
    np.testing.assert_array_equal(fingerprint(rows[::-1])[::-1], fingerprint(rows))
    np.testing.assert_array_equal(jax.jit(fingerprint)(rows), fingerprint(rows))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_the_two_zeros_have_one_fingerprint(wrap):
    first, second = wrap(fingerprint)(jnp.array([[0.0, 1.0], [-0.0, 1.0]]))
    assert first == second


def test_other_columns_or_another_order_of_them_change_the_fingerprint():
    marks = fingerprint(jnp.array([[0.25, 0.5], [0.5, 0.25], [0.25, 0.25], [0.25, np.nextafter(np.float32(0.5), 1.0)]]))
    assert len(set(marks.tolist())) == 4


@pytest.mark.parametrize("levels", [None, 64])
def test_fingerprints_meet_as_rarely_as_chance_allows(levels):
    """Among n distinct rows, n^2 / 2^33 pairs are expected to meet: 4.7 of 200,000."""
    rows = np.random.default_rng(0).uniform(size=(200_000, 5)).astype(np.float32)
    if levels is not None:
        rows = (np.floor(rows * levels) + 0.5).astype(np.float32) / levels
    rows = np.unique(rows, axis=0)
    met = len(rows) - len(np.unique(np.asarray(fingerprint(jnp.asarray(rows)))))
    assert met < len(rows) ** 2 / 2**33 + 5 * np.sqrt(len(rows) ** 2 / 2**33)


def test_the_bits_of_fingerprints_are_fair():
    marks = np.asarray(fingerprint(jax.random.uniform(jax.random.key(1), (20_000, 2))))
    share = np.unpackbits(marks.view(np.uint8)).reshape(-1, 32).mean(axis=0)
    np.testing.assert_allclose(share, 0.5, atol=5 * 0.5 / np.sqrt(20_000))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize(("num", "kinds"), [(1, 1), (60, 1), (60, 20), (60, 10**6), (572, 200)])
def test_repeats_are_entries_that_stood_before(wrap, num, kinds):
    values = np.random.default_rng(0).integers(0, kinds, num).astype(np.uint32) * np.uint32(2**32 // kinds - 1)
    found = wrap(repeats)(values)
    assert found.dtype == bool
    listed = values.tolist()
    np.testing.assert_array_equal(found, [value in listed[:i] for i, value in enumerate(listed)])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("kinds", [1, 3, 10**6])
def test_only_the_entries_that_count_repeat_or_are_repeated(wrap, kinds):
    rng = np.random.default_rng(1)
    values, wanted = rng.integers(0, kinds, 200).astype(np.uint32) * np.uint32(2654435761), rng.uniform(size=200) < 0.5
    found, listed = wrap(repeats)(values, wanted), values.tolist()
    expected = [wanted[i] and listed[i] in np.array(listed[:i])[wanted[:i]] for i in range(200)]
    np.testing.assert_array_equal(found, expected)


def crowded(num, size):
    """Return distinct values that all belong to few places of a table, at its end."""
    return (np.arange(num, dtype=np.uint32) * np.uint32(size)) + np.uint32(size - 1 - num % 3)


@pytest.mark.parametrize("together", [1, 16, 256])
@pytest.mark.parametrize("crowd", [True, False])
def test_a_table_that_is_as_full_as_it_may_be_holds_every_entry_and_no_other(together, crowd):
    num = 256
    size = empty_table(num).shape[0]
    spread = np.random.default_rng(0).integers(1, 2**32, 2 * num, dtype=np.uint32)
    values = crowded(2 * num, size) if crowd else spread
    enter, table = jax.jit(inserted), empty_table(num)
    for first in range(0, num, together):
        batch = values[first : first + together]
        table, place = enter(table, batch, jnp.ones(together, bool))
        np.testing.assert_array_equal(table[place], batch)
    assert int(jnp.sum(table != 0)) == num
    assert contained(table, values).tolist() == [True] * num + [False] * num


def test_what_is_not_wanted_or_is_there_already_changes_no_table():
    values = np.array([5, 5, 9, 5], np.uint32)
    table, place = inserted(empty_table(4), values, jnp.array([True, True, False, True]))
    assert table.dtype == jnp.uint32
    assert place.dtype == jnp.int32
    assert place.tolist() == [5, 5, table.shape[0], 5]
    assert contained(table, values).tolist() == [True, True, False, True]
    again, _ = inserted(table, values[:1], jnp.array([True]))
    np.testing.assert_array_equal(again, table)
