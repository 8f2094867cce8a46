"""Reports in a browser: without errors, quick with many trials, and usable by mouse and keys."""

import contextlib
import shutil
import time

import jax
import jax.numpy as jnp
import pytest
from hand_findings import NASTY, many_trials, nasty, nothing, single

import jaxhpt
from jaxhpt.report.page import page

pytestmark = pytest.mark.slow
F = jaxhpt.Float
ROWS = jnp.arange(16.0)
COMMON = {"train_data": ROWS, "batch_size": 4, "progress": False, "objective": "loss", "direction": "min"}


def init(key, h):
    return {"w": jax.random.normal(key, (8,))}


def step(s, batch, h, key):
    noise = 0.1 * jax.random.normal(key, (8,)) + 0 * batch.sum()
    return {"w": s["w"] * (1 - h["lr"]) + h["noise"] * noise}


def evaluate(s, valid, h):
    return {"loss": jnp.where(h["lr"] > 1.8, jnp.nan, jnp.mean(s["w"] ** 2)), "test_loss": jnp.mean(s["w"] ** 2) + 0.1}


def train(**options):
    space = {"lr": F(1e-3, 2.0, log=True), "noise": F(0.01, 1.0, log=True)}
    return jaxhpt.search(step, space, init=init, evaluate=evaluate, **COMMON, **options)


def structures():
    space = {"lr": F(1e-3, 1.0, log=True), "width": jaxhpt.Choice([4, 8], structural=True)}
    return jaxhpt.search(
        lambda s, batch, h, key: {"w": s["w"] * (1 - h["lr"]) + 0 * batch.sum()},
        space,
        init=lambda key, h: {"w": jax.random.normal(key, (h["width"],))},
        evaluate=lambda s, valid, h: {"loss": jnp.mean(s["w"] ** 2)},
        steps=8,
        trials=24,
        seeds=2,
        **COMMON,
    )


def front():
    def loss(h, key):
        error = (h["x"] - 0.7) ** 2 + jnp.where(h["kind"] == 1, h["b"]["y"], 0.2)
        return {"error": error, "cost": h["x"] ** 2, "size": h["x"]}

    space = {"x": F(0, 1), "kind": ["plain", NASTY], "b": jaxhpt.When("kind", NASTY, {"y": F(0, 1)})}
    goals = {"error": "min", "cost": "max"}
    return jaxhpt.minimize(
        loss, space, objectives=goals, constraints={"size": ("<=", 0.9)}, algorithm="nsga2", trials=60, progress=False
    )


def many():
    space = {"lr": F(1e-3, 2.0, log=True), "noise": F(0.01, 1.0, log=True)}
    given = {**COMMON, "train_data": jnp.tile(ROWS, (3, 1))}
    return jaxhpt.search_many(step, space, init=init, evaluate=evaluate, steps=8, trials=12, seed=[0, 1, 2], **given)


SEARCHES = {
    "single": lambda: train(steps=27, trials=60, lanes=8, scheduler="asha", confirm=2),
    "pareto": front,
    "population": lambda: train(
        steps=40, trials=8, lanes=8, algorithm="random", scheduler=jaxhpt.PBT(perturbation_interval=8)
    ),
    "structures": structures,
    "many": many,
}
PLOTS = (
    "history", "parallel", "importance", "slices", "contours", "curves", "pareto", "hypervolume", "lanes", "rungs",
    "lineage", "endings", "spread", "held_out", "distribution", "comparison",
)  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return {name: search() for name, search in SEARCHES.items()}


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


def opened(browser, path, width=1280):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.resolve().as_uri())
    return browser


def draw_all(browser):
    """Let all figures be drawn, by a window that is as high as the page."""
    high = browser.execute_script("return document.documentElement.scrollHeight")
    width = browser.execute_script("return innerWidth")
    size = {"width": width, "height": high, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    undrawn = "return [...document.querySelectorAll('figure[aria-labelledby]:not(:has(svg.plot))')].map(f => f.id)"
    deadline = time.monotonic() + 10
    while (left := browser.execute_script(undrawn)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_report_opens_without_errors(name, width, results, browser, tmp_path):
    path = jaxhpt.report(results[name], tmp_path / f"{name}.html", importance="grey")
    opened(browser, path, width)
    draw_all(browser)
    assert errors(browser) == []
    assert browser.execute_script("return document.querySelectorAll('svg.plot').length") > 5
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "many"])
def test_a_report_is_drawn_by_matplotlib(name, results, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    drawn = 0
    for plot in PLOTS:
        with contextlib.suppress(ValueError):  # nothing to show
            found = getattr(jaxhpt.plots, plot)(results[name])
            getattr(found, "figure", found).savefig(tmp_path / "plot.png")
            drawn += 1
    from matplotlib import pyplot

    pyplot.close("all")
    assert drawn >= 10


def test_ten_thousand_trials_open_in_less_than_two_seconds(browser, tmp_path):
    path = tmp_path / "many.html"
    path.write_text(page([many_trials(10_000)]))
    begun = time.monotonic()
    opened(browser, path)
    assert browser.execute_script("return document.querySelectorAll('#trials tbody tr').length") == 50
    assert time.monotonic() - begun < 2
    draw_all(browser)
    assert errors(browser) == []


@pytest.mark.parametrize("made", [nothing, nasty, single])
def test_what_is_odd_opens_without_errors(made, browser, tmp_path):
    path = tmp_path / "odd.html"
    path.write_text(page([made()]))
    opened(browser, path)
    draw_all(browser)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    for row in browser.find_elements("css selector", "#trials tbody tr"):
        browser.execute_script("arguments[0].click()", row)
    assert errors(browser) == []
    assert browser.execute_script("return document.images.length") == 0


def test_a_trial_is_selected_in_every_figure_and_the_table_is_sorted_and_filtered(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    path = tmp_path / "one.html"
    path.write_text(page([single()]))
    opened(browser, path)
    draw_all(browser)
    find = lambda text: browser.find_elements("css selector", text)  # noqa: E731
    rows = lambda: [int(row.text.split()[0]) for row in find("#trials tbody tr")]  # noqa: E731
    assert rows() == [4, 1, 0, 3, 5, 2]  # the best first; what is not known comes last
    find("#trials th:nth-child(2) button")[0].click()
    assert rows() == [5, 3, 0, 1, 4, 2]
    find("#trials input")[0].send_keys("loss<3.5 status=done")
    assert rows() == [1, 4]
    find("#trials input")[0].send_keys(' "opt"="sgd"')
    assert rows() == [4]
    find("#trials input")[0].send_keys(*[Keys.BACKSPACE] * 12)
    find("#trials tbody tr")[0].send_keys(Keys.ENTER)
    assert "Trial 1, done" in find("#chosen")[0].text
    marked = (
        "return [...document.querySelectorAll('svg.plot')].filter(s => s.querySelector('.mark, .path, .box')).length"
    )
    assert browser.execute_script(marked) >= 6
    find("body")[0].send_keys(Keys.ESCAPE)
    assert not find("#chosen")[0].is_displayed()
    plot = find("#history svg.plot")[0]
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER)
    assert "Trial 1, done" in find("#chosen")[0].text
    find("#theme")[0].click()
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    browser.refresh()  # and all of it is kept
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    assert "Trial 1, done" in find("#chosen")[0].text
    assert rows() == [1, 4]
    assert errors(browser) == []


def test_a_narrow_page_keeps_trials_and_labels_in_sight(browser, tmp_path):
    path = tmp_path / "narrow.html"
    path.write_text(page([many_trials(200)]))
    opened(browser, path, 390)
    draw_all(browser)
    moved = """
        const box = document.querySelector('#trials .scroll'), cell = box.querySelector('tbody td:nth-child(2)');
        box.scrollLeft = 9999;
        return [box.scrollLeft > 0, cell.getBoundingClientRect().left - box.getBoundingClientRect().left]"""
    scrolled, left = browser.execute_script(moved)
    assert scrolled
    assert left == pytest.approx(76, abs=2)
    heads = [head.text.split()[0] for head in browser.find_elements("css selector", "#trials th")[:3]]
    assert heads == ["trial", "loss", "x0"]
    outside = """
        return [...document.querySelectorAll('svg.plot text')].filter(t => {
          const b = t.getBoundingClientRect(), s = t.ownerSVGElement.getBoundingClientRect();
          return b.left < s.left - 1 || b.right > s.right + 12 }).map(t => t.textContent)"""
    assert browser.execute_script(outside) == []
    size = {"width": 320, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    bands = """
        return [...document.querySelectorAll('svg.plot')].filter(s => {
          const b = s.getBoundingClientRect(), v = s.viewBox.baseVal;
          return Math.abs(b.height * v.width - b.width * v.height) > 0.02 * b.height * v.width }).length"""
    assert browser.execute_script(bands) == 0  # drawn for another width, it is as high as what it shows


def test_a_page_of_a_running_search_comes_again_where_it_was(browser, tmp_path):
    path = tmp_path / "live.html"
    path.write_text(page([single()], reload=0.5))
    opened(browser, path)
    browser.execute_script("scrollTo({top: 900, behavior: 'instant'}); window.old = true")
    time.sleep(1.5)
    assert browser.execute_script("return window.old") is None
    assert browser.execute_script("return scrollY") == pytest.approx(900, abs=4)
    assert errors(browser) == []
