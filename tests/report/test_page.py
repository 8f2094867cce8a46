"""The page: what it holds is data, it needs nothing from elsewhere, and no text of the user's is code in it."""

import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest
from hand_findings import DONE, NASTY, findings, many_trials, nasty, nothing, pareto, population, replicas, single

import jaxhpt
from jaxhpt.report.findings import RUNNING, Axis
from jaxhpt.report.header import duration, number
from jaxhpt.report.page import page
from jaxhpt.report.payload import DETAILED, MOST, few
from jaxhpt.results.findings import findings_of

SEARCHES = {
    "single": single, "pareto": pareto, "population": population, "replicas": replicas, "nothing": nothing,
}  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects elements, their attributes, and the text in each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self._open[-1:]:
            self.texts.setdefault(tag, []).append(data)


def data_of(text):
    """Return the data of a page, with its arrays in their places."""
    told = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])

    def whole(value):
        if isinstance(value, dict):
            return told["arrays"][value["a"]] if value.keys() == {"a"} else {k: whole(v) for k, v in value.items()}
        return [whole(v) for v in value] if isinstance(value, list) else value

    return whole({name: part for name, part in told.items() if name != "arrays"})


@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_page_holds_its_search_as_data(name):
    made = SEARCHES[name]()
    (search,) = data_of(page([made]))["searches"]
    assert search["trial"] == made.trial.tolist()
    assert len(search["value"]) == len(made.axes)
    for told, column in zip(search["score"], made.score.T, strict=True):
        assert told == [None if np.isnan(v) else pytest.approx(v, rel=1e-5) for v in column]
    shown = {figure["name"] for figure in search["figures"]} | {title for title, _ in search["missing"]}
    assert len(shown) == 14


def test_figures_stand_in_the_data_with_their_kind():
    (search,) = data_of(page([single()]))["searches"]
    figures = {figure["name"]: figure["variants"] for figure in search["figures"]}
    ((label, history),) = figures["history"]
    assert (label, history["kind"], history["best"]) == ("loss", "History", [None, 1, 1, 1, 0.5, 0.5])
    assert history["objective"]["name"] == "loss"
    (parallel,) = (variants for name, variants in figures.items() if name == "parallel")
    assert parallel[0][1]["place"][-1][2] is None  # does not exist there


def test_an_array_stands_once_however_many_figures_have_it():
    text = page([single()])
    arrays = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["arrays"]
    assert len({json.dumps(array) for array in arrays}) == len(arrays)


@pytest.mark.parametrize("searches", [[nasty()], [nasty(), nasty()]])
def test_no_text_of_the_user_is_code(searches):
    text = page(searches, NASTY)
    reader = Reader(text)
    assert "img" not in {tag for tag, _ in reader.tags}
    assert sum(tag == "script" for tag, _ in reader.tags) == 2
    assert NASTY not in text
    assert "\u2028" not in text
    assert data_of(text)["searches"][0]["metrics"] == [NASTY, "a\u2028b"]
    assert reader.texts["title"] == [NASTY]


@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_page_asks_for_nothing(name):
    text = page([SEARCHES[name]()])
    found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text))
    assert found <= {"http://www.w3.org/2000/svg"}  # a name, not an address
    for _, attributes in Reader(text).tags:
        assert not {"src", "srcset", "action"} & attributes.keys()
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert "@import" not in text
    assert "url(" not in text
    policy = next(a["content"] for t, a in Reader(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy


def test_a_page_says_what_was_found():
    assert "lowest loss" in page([single()])
    assert re.search(r'class="big">0.5<', page([single()]))
    assert re.search(r'class="big">2 trials<', page([pareto()]))
    assert "no trial has ended with a finite value yet" in page([nothing()])
    assert 'class="big">2 searches<' in page([single(), single()])
    many = [dataclasses.replace(findings([v], [DONE]), name=f"s{v}") for v in (1, 2, 3, 4, 5)]
    assert "the best of each from 1 to 5, median 3" in page(many)
    assert "the best of each: s1 1, s2 2" in page(many[:2])  # few are named


def test_a_page_is_headed_by_what_was_searched():
    told = dataclasses.replace(single().facts, algorithm="Bayesian", scheduler="ASHA")
    made = dataclasses.replace(replicas(), facts=told)
    about = "6 trials by Bayesian with ASHA: acc, maximised"
    reader = Reader(page([made]))
    assert (reader.texts["title"], reader.texts["h1"]) == ([about], [about])
    assert Reader(page([pareto()])).texts["h1"] == ["5 trials: error, minimised and speed, maximised"]
    assert Reader(page([made], "mine")).texts["title"] == ["mine"]
    assert Reader(page([single(), single()])).texts["title"] == ["2 searches: loss, minimised"]


def test_the_table_of_searches_has_what_one_compares():
    facts = dataclasses.replace(single().facts, algorithm="TPE", seed=3)
    searches = [dataclasses.replace(single(), facts=facts, name="one"), dataclasses.replace(nothing(), name="two")]
    together = data_of(page(searches))["together"]
    one, two = (dict(zip(together["columns"], row, strict=True)) for row in together["searches"])
    assert (one["search"], one["algorithm"], one["seed"], one["lr"], one["opt"]) == ("one", "TPE", 3, 0.01, "sgd")
    assert (two["algorithm"], two["lr"]) == (None, None)
    assert not {"scheduler", "b2"} & one.keys()  # of which nothing is known


def test_a_page_of_a_run_that_goes_on_looks_at_itself_again():
    going = dataclasses.replace(single(), facts=dataclasses.replace(single().facts, ended=RUNNING))
    text = page([going], reload=3.0)
    assert data_of(text)["reload"] == 3
    assert '<span class="state">running</span>' in text
    assert data_of(page([single()]))["reload"] == 0


def test_searches_of_different_objectives_are_not_compared():
    together = data_of(page([single(), pareto()]))["together"]
    assert together["figures"] == []
    assert together["missing"] == [["Searches together", "they have not the same objectives"]]
    assert [row[0] for row in together["searches"]] == ["", ""]


def test_a_search_that_found_nothing_has_no_best_value():
    together = data_of(page([single(), nothing()]))["together"]
    assert together["columns"][1] == "best loss"
    assert [row[1] for row in together["searches"]] == [0.5, None]
    assert data_of(page([pareto(), pareto()]))["together"]["searches"][0][1] == 2


def test_whole_numbers_keep_all_their_digits():
    made = findings([1234567.0, 0.1234567], [DONE] * 2, [[16777215], [1]], axes=(Axis("n", 1, 2.0**24, whole=True),))
    (search,) = data_of(page([made]))["searches"]
    assert (search["value"], search["score"]) == ([[16777215, 1]], [[1234567, 0.123457]])


def test_ten_thousand_trials_are_less_than_five_megabytes():
    assert len(page([many_trials(10_000)])) < 5e6


def test_of_more_trials_some_are_shown_one_by_one_and_all_are_counted():
    made = many_trials(MOST + 5000)
    (search,) = data_of(page([made]))["searches"]
    assert MOST <= len(search["trial"]) <= MOST + 1
    assert search["of"] == MOST + 5000
    assert search["trial"][search["best"]] == made.trial[made.best]
    endings = next(f for f in search["figures"] if f["name"] == "endings")["variants"][0][1]
    assert sum(endings["count"]) == MOST + 5000


def test_fewer_trials_keep_the_parents_that_are_there():
    num = MOST + 10
    parent = np.arange(num) - 1
    made = dataclasses.replace(findings(np.arange(num)[::-1].astype(float), [DONE] * num), parent=parent)
    kept = few(made)
    there = kept.parent >= 0
    assert (kept.trial[kept.parent[there]] == kept.trial[there] - 1).all()
    assert there.sum() > MOST // 2


def test_of_many_searches_the_first_are_told_in_detail():
    each = DETAILED // 4
    content = data_of(page([many_trials(each, seed) for seed in range(6)]))
    assert len(content["searches"]) == 4
    assert len(content["together"]["searches"]) == 6


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (1234567.0, "1,234,567"), (1e9, "1e+09"), (-0.5, "-0.5")])
def test_numbers_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "0.012 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7300, "2 h 1 min")]
)
def test_times_are_short(seconds, text):
    assert duration(seconds) == text


def test_a_choice_of_an_empty_text_is_seen():
    space = {"x": jaxhpt.Float(0, 1), "c": jaxhpt.Choice(["", " "])}
    result = jaxhpt.minimize(lambda h, key: h["x"] + h["c"], space, trials=4, algorithm="random", progress=False)
    head = page([findings_of(result)])
    assert "<dt>c</dt><dd>&#x27;&#x27;</dd>" in head or "<dt>c</dt><dd>&#x27; &#x27;</dd>" in head
