"""Compressed files: of the bytes that were foretold, of the weights that were trained, readable with NumPy alone."""

import json
import pathlib
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from jaxhpt.models import compressed, prune, quantize
from jaxhpt.models.compressed import packed

RANDOM = np.random.default_rng(0)
TREE = {
    "first": {"kernel": RANDOM.normal(size=(37, 21)).astype(np.float32), "bias": np.zeros(21, np.float32)},
    "more": [{"kernel": RANDOM.normal(size=(3, 5, 11)).astype(np.float32)}, np.arange(5, dtype=np.int32)],
    "half": jnp.asarray(RANDOM.normal(size=(9, 4)), jnp.bfloat16),
    "scalar": np.float32(2.5),
}


@jax.jit
def trained(params, sparsity, bits):
    """Return masks, the weights that a model is trained with, and the bytes that are foretold."""
    masks = prune.masks(params, sparsity)
    kept = quantize.fake_quantize(prune.apply(params, masks), bits)
    return masks, kept, compressed.size_in_bytes(params, masks, bits)


def same(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(jnp.asarray(a, b.dtype), b), found, wanted)


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 32])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9, 0.995, 1.0])
def test_a_file_is_as_large_as_foretold_and_holds_the_weights(tmp_path, bits, sparsity):
    path = tmp_path / "model.npz"
    masks, kept, size = trained(TREE, sparsity, bits)
    assert compressed.export_compressed(path, TREE, masks, bits) == path.stat().st_size == int(size)
    found = compressed.load_compressed(path)
    same(found, kept)
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    assert found["more"][1].dtype == np.int32
    assert {found["first"]["kernel"].dtype, found["half"].dtype} == {np.dtype("float32")}


def test_each_form_is_taken_where_it_is_the_smallest(tmp_path):
    codes = []
    for kept in (1.0, 0.5, 0.01):
        w = np.where(RANDOM.random((100, 100)) < kept, 1.0, 0.0).astype(np.float32)
        compressed.export_compressed(tmp_path / "model.npz", w, bits=4)
        with zipfile.ZipFile(tmp_path / "model.npz") as file, file.open("model.npy") as member:
            data = np.lib.format.read_array(member).tobytes()
        codes.append(data[packed.START.size + packed.START.unpack_from(data)[2]])
        same(compressed.load_compressed(tmp_path / "model.npz"), quantize.fake_quantize(w, 4))
    assert codes[:2] == [packed.DENSE, packed.BITMAP]
    assert codes[2] == packed.GAPS + 6  # gaps of 100 on average


def test_sparse_places_cost_what_information_theory_says():
    w = np.where(RANDOM.random((200, 200)) < 0.02, 1.0, 0.0).astype(np.float32)
    share = float((w != 0).mean())
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) * w.size / 8
    overhead = packed.overhead([([], [200, 200], "float32")]) + 2 * (w != 0).any(0).sum()
    told = int(compressed.size_in_bytes(w, bits=2)) - overhead - (w != 0).sum() / 8
    assert entropy < told < 1.06 * entropy


def test_the_size_is_traced_over_many_settings():
    sparsity, bits = jnp.asarray([0.0, 0.5, 0.9, 0.9]), jnp.asarray([32, 8, 8, 2])
    sizes = jax.vmap(lambda s, b: trained(TREE, s, b)[2])(sparsity, bits)
    assert np.all(np.diff(sizes) < 0)
    assert sizes.dtype == jnp.float32


def test_what_rounds_to_zero_is_not_written(tmp_path):
    w = np.asarray([[0.001, 1.0], [1.0, 0.001]], np.float32)
    compressed.export_compressed(tmp_path / "a.npz", w, bits=4)
    assert np.count_nonzero(compressed.load_compressed(tmp_path / "a.npz")) == 2


def test_bits_and_sparsity_by_name(tmp_path):
    bits = {"first": 2, "first.bias": 8, "more": 32}
    told = compressed.export_compressed(tmp_path / "a.npz", TREE, None, bits)
    assert told == int(compressed.size_in_bytes(TREE, None, bits))
    same(compressed.load_compressed(tmp_path / "a.npz"), quantize.fake_quantize(TREE, bits))


def test_leaves_keep_their_dtypes(tmp_path):
    tree = {"wide": np.asarray([[1 / 3, 0.0]]), "half": np.ones((1, 2), np.float16), "flag": np.asarray([True, False])}
    told = compressed.export_compressed(tmp_path / "a.npz", tree, bits={"half": 4})
    found = compressed.load_compressed(tmp_path / "a.npz")
    assert told == int(compressed.size_in_bytes(tree, bits={"half": 4}))
    assert {name: array.dtype for name, array in found.items()} == {name: array.dtype for name, array in tree.items()}
    np.testing.assert_array_equal(found["wide"], tree["wide"])
    np.testing.assert_array_equal(found["flag"], tree["flag"])


def test_equal_models_are_equal_files(tmp_path):
    for name in "ab":
        compressed.export_compressed(tmp_path / name, TREE, bits=4)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "optax", "jaxhpt"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import json, pathlib
sys.path.insert(0, sys.argv[1])
import packed
found = packed.load_compressed(sys.argv[2])
print(json.dumps(found["first"]["kernel"].tolist()))
packed.main(sys.argv[2])
"""


def test_a_new_process_reads_it_with_numpy_alone(tmp_path):
    path = tmp_path / "model.npz"
    compressed.export_compressed(path, TREE, trained(TREE, 0.9, 4)[0], 4)
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    (copied / "packed.py").write_text(pathlib.Path(packed.__file__).read_text())
    arguments = [sys.executable, "-I", "-c", BLOCKED, str(copied), str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    first, *listed = done.stdout.splitlines()
    np.testing.assert_array_equal(
        np.asarray(json.loads(first), np.float32), trained(TREE, 0.9, 4)[1]["first"]["kernel"]
    )
    assert "first.kernel: float32[37, 21], 78 of 777 not 0, 4 bits" in listed


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(4, 6, rngs=rngs), nnx.Linear(6, 2, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](nnx.relu(self.layers[0](x)))


def test_nnx_goes_there_and_back(tmp_path):
    net, other, x = Net(nnx.Rngs(0)), Net(nnx.Rngs(1)), jnp.ones((3, 4))
    bits = {"layers.0": 4, "layers.1": 8}
    compressed.export_compressed(tmp_path / "net.npz", nnx.state(net, nnx.Param), bits=bits)
    state = nnx.state(other, nnx.Param)
    nnx.replace_by_pure_dict(state, compressed.load_compressed(tmp_path / "net.npz"))
    nnx.update(other, state)
    small = quantize.quantized(lambda h, rngs: Net(rngs), bits)({}, nnx.Rngs(0))
    np.testing.assert_allclose(other(x), small(x), rtol=1e-6)


def test_linen_goes_there_and_back(tmp_path):
    net, x = linen.Sequential([linen.Dense(6), linen.relu, linen.Dense(2)]), jnp.ones((3, 4))
    variables = net.init(jax.random.key(0), x)
    compressed.export_compressed(tmp_path / "net.npz", variables, bits=4)
    small = quantize.quantized(net, 4)({})
    found = net.apply(compressed.load_compressed(tmp_path / "net.npz"), x)
    np.testing.assert_allclose(found, small.apply(variables, x), rtol=1e-6)


def test_errors_name_the_argument_and_the_remedy(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match=r"first.kernel holds NaN"):
        compressed.export_compressed(path, {"first": {"kernel": np.full((2, 2), np.nan)}}, bits=4)
    with pytest.raises(TypeError, match=r"params: k is of key<fry>; must be .* nnx.state\(model, nnx.Param\)"):
        compressed.export_compressed(path, {"k": jax.random.key(0)})
    with pytest.raises(TypeError, match="params: k is of float8_e5m2"):
        compressed.export_compressed(path, {"k": jnp.ones(2, jnp.float8_e5m2)})
    with pytest.raises(TypeError, match=r"params: k is of .*str"):
        compressed.export_compressed(path, {"k": "text"})
    with pytest.raises(TypeError, match="key"):
        compressed.export_compressed(path, {1.5: np.ones(2)})
    np.savez(path, a=np.ones(2))
    with pytest.raises(ValueError, match=r"holds no model\.npy"):
        compressed.load_compressed(path)
    for model, told in ((np.zeros(20, np.uint8), "another kind or a later version"), (np.zeros(2, np.uint8), "cut")):
        np.savez(path, model=model)
        with pytest.raises(ValueError, match=told):
            compressed.load_compressed(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    compressed.export_compressed(path, TREE, trained(TREE, 0.9, 4)[0], 4)
    with zipfile.ZipFile(path) as file, file.open("model.npy") as member:
        data = np.lib.format.read_array(member)
    for length in range(packed.START.size + 300, data.size, 97):
        np.savez(path, model=data[:length])
        with pytest.raises(ValueError, match="cut off"):
            compressed.load_compressed(path)
