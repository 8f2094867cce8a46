"""What is compiled anew when something changes, by the names of the programs; and nothing where nothing matters."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.engine import compiling
from jaxhpt.engine.compiling import Background, Function, shapes_of

SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True), "scale": jaxhpt.Float(0.1, 1.0), "n": jaxhpt.Int(1, 3)}


@pytest.fixture
def compiled(monkeypatch):
    """Return a list to which the name of each program is added as it is compiled."""
    names, whole = [], Function._compiled

    def counted(self, static, rest):
        names.append(self.call.__name__.lstrip("_"))
        return whole(self, static, rest)

    monkeypatch.setattr(Function, "_compiled", counted)
    return names


def update(state, batch, hparams, key):
    n, noise = hparams["n"].astype(jnp.float32), jax.random.normal(key, (4,))
    return {"w": state["w"] * (1.0 - 0.1 * hparams["lr"]) + 0.01 * n * noise}


def run(step=update, space=None, shape=4, name="lr", execution="split", trials=8, **options):
    space = space or SPACE
    settings = {"algorithm": "genetic", "scheduler": jaxhpt.PBT(perturbation_interval=2), **options}
    return jaxhpt.search(
        lambda s, batch, h, key: step(s, batch, {**h, "lr": h[name]}, key), space,
        init=lambda key, h: {"w": jax.random.normal(key, (shape,)) * h["scale"]},
        evaluate=lambda s, data, h: jnp.sum(s["w"] ** 2), direction="min", steps=6, trials=trials, lanes=4, cores=2,
        execution=execution, progress=False, **settings,
    )  # fmt: skip


WHOLE = {"begin", "vacant", "propose", "instruct", "fill", "advance", "settle", "summary", "keep", "move"}


@pytest.fixture
def known(compiled):
    """Run a search, and return the names of what is compiled from then on."""
    run()
    compiled.clear()
    return compiled


def test_each_part_of_an_event_is_compiled_once_however_many_pools_there_are(compiled):
    compiling.forget()
    run()
    assert sorted(compiled) == sorted(WHOLE)


def test_a_fused_search_is_two_programs(compiled):
    run(execution="fused")
    assert compiled == ["fresh", "dispatch"]
    run(execution="fused", seed=3)
    assert compiled == ["fresh", "dispatch"]


def test_a_second_search_compiles_nothing_whatever_of_the_host_changes(known, compilations):
    with compilations() as seen:
        run()
        run(seed=7)
        run(timeout=100.0, callbacks=[lambda snapshot: None], events_per_dispatch=2)
        run(first=[])
    assert known == []
    assert seen == []


def test_an_edited_model_compiles_what_trains_alone(known):
    run(step=lambda s, batch, h, key: {"w": update(s, batch, h, key)["w"] * 0.5})
    assert set(known) == {"fill", "advance"}


def test_a_model_of_other_shapes_compiles_what_holds_its_weights(known):
    def step(state, batch, h, key):
        return {"w": state["w"] * (1.0 - 0.1 * h["lr"]) + 0.01 * h["n"].astype(jnp.float32)}

    run(step=step, shape=5)
    assert set(known) == {"vacant", "fill", "advance", "keep", "move"}


@pytest.mark.parametrize(
    "change",
    [
        {"lr": jaxhpt.Float(1e-4, 0.2, log=True)},
        {"lr": jaxhpt.Float(0.0, 0.2)},  # and the scale
        {"n": jaxhpt.Int(2, 4)},  # as many values
        {"scale": jaxhpt.Float(-3.0, 3.0)},
    ],
    ids=str,
)
def test_the_ends_of_a_range_compile_what_decodes_alone(known, change):
    run(space={**SPACE, **change})
    assert known == ["instruct"]


def test_a_number_of_trials_within_a_bucket_compiles_nothing(compiled):
    options = {"algorithm": jaxhpt.Refine(jaxhpt.Random()), "scheduler": jaxhpt.ASHA(min_steps=2)}
    result = run(trials=17, **options)
    assert len(result.trials) == result.history.status.shape[0] == 17
    compiled.clear()
    for trials in (18, 20):
        result = run(trials=trials, **options)
        assert [trial.id for trial in result.trials] == list(range(trials))
    assert compiled == []
    run(trials=21, **options)
    assert set(compiled) == {"begin", "propose", "instruct", "settle", "summary"}


def test_more_values_are_another_search(known):
    run(space={**SPACE, "n": jaxhpt.Int(1, 4)})
    assert {"propose", "settle", "instruct"} <= set(known)


def test_a_name_of_a_hyperparameter_compiles_nothing_that_decides(known):
    space = {"rate" if name == "lr" else name: dimension for name, dimension in SPACE.items()}
    order = {"lr": 0, "n": 1, "scale": 2}
    assert sorted(order) == list(order)  # the columns are in order of names
    run(space={"a": space["rate"], **{k: space[k] for k in ("n", "scale")}}, name="a")
    assert not set(known) & {"begin", "propose", "settle", "summary", "keep", "move", "vacant"}


def test_another_algorithm_or_scheduler_compiles_what_decides_alone(known):
    run(algorithm="random")
    assert set(known) == {"begin", "propose", "settle", "summary"}
    known.clear()
    run(scheduler=jaxhpt.PBT(perturbation_interval=2, quantile_fraction=0.4))
    assert set(known) <= {"begin", "propose", "instruct", "settle", "summary"}


def test_settings_of_jax_are_other_programs_but_for_those_that_change_nothing(known):
    with jax.log_compiles(False), jax.transfer_guard("log"), jax.debug_key_reuse(False):
        run()
    assert known == []
    with jax.default_matmul_precision("highest"):
        run()
    assert set(known) == WHOLE


def square(power, x):
    return x**power


def test_a_function_is_compiled_for_its_static_values_and_the_shapes_of_its_arguments(compiled):
    function = Function(square, 1)
    assert float(function(2, jnp.float32(3))) == 9
    assert float(function(2, jnp.float32(4))) == 16
    assert compiled == ["square"]
    assert float(function(3, jnp.float32(2))) == 8
    assert function(3, jnp.ones(2)).shape == (2,)
    assert int(function(3, jnp.int32(2))) == 8
    assert compiled == ["square"] * 4
    function.program(3, jax.ShapeDtypeStruct((2,), jnp.float32))
    assert compiled == ["square"] * 4


def test_programs_not_used_for_longest_go_first(compiled, monkeypatch):
    compiling.forget()
    monkeypatch.setattr(compiling, "MOST_PROGRAMS", 2)
    function, x = Function(square, 1), jnp.float32(3)
    for power in (1, 2, 1, 3, 1):
        function(power, x)
    assert compiled == ["square"] * 3
    function(2, x)
    assert compiled == ["square"] * 4
    assert len(compiling._programs) == 2


def test_compilers_that_do_not_know_an_option_do_without():
    function = Function(square, 1, options={"no_such_option_of_any_compiler": 1})
    assert float(function(2, jnp.float32(3))) == 9


def test_what_fails_to_compile_in_the_background_fails_where_it_is_needed():
    def broken(x):
        raise ValueError("of its own")

    background = Background()
    coming = background.compile(Function(broken, 0), shapes_of(jnp.float32(1)))
    with pytest.raises(ValueError, match="of its own"):
        coming.result()
    background.close()


def test_what_is_compiled_in_the_background_sees_the_settings_of_the_thread_that_asks():
    seen = []

    def noted(x):
        seen.append((threading.current_thread() is threading.main_thread(), jax.config.jax_numpy_rank_promotion))
        return x + 1

    for mode, here in (("allow", False), ("raise", True)):
        with jax.numpy_rank_promotion(mode):
            background = Background()
            made = background.compile(Function(noted, 0), jnp.float32(1)).result()
            background.close()
        assert float(made(jnp.float32(1))) == 2
        assert seen.pop() == (here, mode)


def test_a_search_under_other_settings_of_this_thread_is_the_same_search(same_bits):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        strict = run(algorithm=jaxhpt.Genetic(population=4))
    same_bits(strict.history, run(algorithm=jaxhpt.Genetic(population=4)).history)


def test_a_program_is_found_from_any_thread(compiled):
    function, found = Function(square, 1), []
    function(5, jnp.float32(1))
    threads = [threading.Thread(target=lambda: found.append(float(function(5, jnp.float32(2))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [32.0] * 4
    assert compiled == ["square"]


def test_static_values_are_compared_by_value():
    @dataclasses.dataclass(frozen=True)
    class Setting:
        factor: float

    def scaled(setting, x):
        return setting.factor * x

    function = Function(scaled, 1)
    assert function.program(Setting(2.0), jnp.float32(1)) is function.program(Setting(2.0), jnp.float32(3))
    assert np.asarray(function(Setting(3.0), jnp.float32(2))) == 6


def test_searches_in_several_threads_compile_once(compiled):
    compiling.forget()
    results = []
    threads = [threading.Thread(target=lambda: results.append(run())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(compiled) == sorted(WHOLE)
    assert len({result.best.value for result in results}) == 1
