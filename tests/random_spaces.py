"""Random spaces, for tests that throw anything at it."""

import jaxhpt


def dimension(rng):
    low = rng.choice([-3.0, 0.0, 1e-5, 1.0, 2.0])
    log, structural = low > 0 and rng.random() < 0.5, rng.random() < 0.2
    match rng.randrange(5):
        case 0:
            return jaxhpt.Float(low, low + 10 ** rng.uniform(-2, 3), log=log)
        case 1:
            return jaxhpt.Float(0.0, 1.0, step=0.25, near=rng.choice([None, 0.5]))
        case 2:
            return jaxhpt.Int(1, rng.randint(2, 60), log=rng.random() < 0.5, structural=structural)
        case 3:
            values = [["a", "b", "c"], [1, 2, 4], [0.1, 0.5], [None, "x"], [(1, 2), (3, 4)], [True, False]]
            return jaxhpt.Choice(rng.choice(values), structural=structural)
        case _:
            return jaxhpt.Bool()


def spec(rng, depth=0):
    names = rng.sample(["a", "b", "c", "d", "e"], rng.randint(1, 4))
    found = {name: dimension(rng) for name in names}
    if depth < 2 and rng.random() < 0.4:
        found["inner"] = spec(rng, depth + 1)
    if rng.random() < 0.4:
        found |= {"kind": ["p", "q"], "when": jaxhpt.When("kind", rng.choice(["p", ["p", "q"]]), {"w": dimension(rng)})}
    if rng.random() < 0.4:
        found["constant"] = rng.choice([3, 2.5, "text", None, True, (1, "x"), float("inf")])
    return found if rng.random() < 0.8 else (found, dimension(rng))
