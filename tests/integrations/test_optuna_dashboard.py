"""Optuna's dashboard on a search that runs."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import short_runs

from jaxhpt.integrations.optuna import Journal

LOOKS = (2, 6, 14)  # events


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
        return json.load(answer)


class Dashboard:
    """Starts at the first event, and is asked for the trials between events, while the search goes on."""

    def __init__(self, path):
        self.path, self.port, self.process, self.seen = path, free_port(), None, []

    def __call__(self, snapshot):
        if self.process is None:
            command = [pathlib.Path(sys.executable).parent / "optuna-dashboard", self.path, "--port", str(self.port)]
            self.process = subprocess.Popen([*command, "--server", "wsgiref"], stderr=subprocess.DEVNULL)
            self.wait()
        if snapshot.events in LOOKS:
            (study,) = ask(self.port, "studies")["study_summaries"]
            self.seen.append((snapshot, study, self.detail(study["study_id"], snapshot.started)))

    def detail(self, study, started):
        """Return what it shows once that is fresh: it keeps what it read for some seconds."""
        for _ in range(60):
            found = ask(self.port, f"studies/{study}")
            if len(found["trials"]) >= started:
                return found
            time.sleep(0.5)
        raise TimeoutError

    def wait(self):
        for _ in range(120):
            try:
                return ask(self.port, "studies")
            except OSError:
                time.sleep(0.5)
        raise TimeoutError

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="starts a script")
def test_the_dashboard_shows_the_trials_of_a_running_search(tmp_path):
    dashboard = Dashboard(tmp_path / "optuna.journal")
    try:
        short_runs.search(
            tmp_path, callbacks=[Journal(seconds=0), dashboard], events_per_dispatch=1, scheduler="asha", interval=1
        )
    finally:
        dashboard.close()
    assert len(dashboard.seen) == len(LOOKS)
    for snapshot, summary, detail in dashboard.seen:
        assert (summary["study_name"], summary["directions"]) == ("jaxhpt", ["minimize"])
        states = [trial["state"] for trial in detail["trials"]]
        assert len(states) == snapshot.started
        assert states.count("Running") == snapshot.started - snapshot.finished
    trials = [trial for _, _, detail in dashboard.seen for trial in detail["trials"]]
    assert {trial["state"] for trial in trials} == {"Running", "Complete", "Pruned"}
    assert any(trial["intermediate_values"] for trial in trials if trial["state"] == "Running")
    assert all(trial["params"][0]["name"] == "lr" for trial in trials)
