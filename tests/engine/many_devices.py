"""Search on several devices at once and on one of them; print as JSON what is the same, and what lies where."""

import json
import re
import sys

import jax
import numpy as np

import jaxhpt
from jaxhpt.engine import many

R = 8
X = np.random.default_rng(0).normal(size=(R, 12, 3)).astype(np.float32)
DATA = {"x": X, "y": X.sum(2)}
COLLECTIVE = re.compile(r"all-(?:reduce|gather|to-all)|collective-permute|reduce-scatter")
SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True)}
seen = []


def loss(w, batch):
    rows = batch.data if isinstance(batch, jaxhpt.Batch) else batch
    return jaxhpt.batch_mean((rows["x"] @ w - rows["y"]) ** 2, batch)


def search(data=DATA, **options):
    given = {"steps": 6, "trials": 8, "lanes": 4, "batch_size": 4, "algorithm": "genetic", "progress": False, **options}
    return jaxhpt.search_many(
        lambda w, batch, h, key: w - h["lr"] * jax.grad(loss)(w, batch), SPACE,
        init=lambda key, h: jax.random.normal(key, (3,)), evaluate=lambda w, rows, h: {"loss": loss(w, rows)},
        train_data=data, valid_data=data, **given,
    )  # fmt: skip


class Watched(many.Many):
    """Notes where the searches are."""

    def run(self, grains):
        super().run(grains)
        leaves = jax.tree.leaves((self._carries, self._own))
        seen.extend(str(sorted(d.id for d in leaf.devices())) for leaf in leaves)
        seen.extend(COLLECTIVE.findall(self._run._run.as_text()))


def where():
    """Return where they were since the last question, and for what devices waited for each other."""
    found = sorted(set(seen))
    seen.clear()
    return found


def same(ours, theirs):
    both = [[(r.history.unit, r.history.metrics, r.best_state) for r in results] for results in (ours, theirs)]
    leaves = zip(*map(jax.tree.leaves, both), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


if __name__ == "__main__":
    sys.modules["jaxhpt.search_many"].Many = Watched
    told = {}
    everywhere = search()
    told["all"] = where()
    alone = search(jax.device_put(DATA, jax.devices()[2]))
    told["put on one"] = where()
    told["same"] = same(everywhere, alone)
    seven = search(jax.tree.map(lambda a: a[:7], DATA))
    told["seven"] = where()
    told["seven, same"] = same(seven, everywhere[:7])
    ragged = [{"x": x[: 12 - r], "y": x[: 12 - r].sum(1)} for r, x in enumerate(X[:5])]
    given = {"steps": None, "batch_size": 9, "first": [{"lr": 0.1}], "prior": [({"lr": 0.2}, 1.0)]}
    spread = search(ragged, **given)
    told["ragged"] = where()
    with jax.default_device(jax.devices()[1]):
        told["ragged, same"] = same(spread, search(ragged, **given))
    told["by default on one"] = where()
    told["replayed"] = [everywhere[5].replay(3)[1]["loss"], everywhere[5].trials[3].metrics["loss"]]
    told["homes"] = sorted({str(d.id) for r in everywhere for d in r.best_state.devices()})
    print(json.dumps(told))
