"""In a browser: the report's page and MLflow's interface open without errors and show the numbers of the trials."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, DRIVER, Browser, mlflow_ui
from tests.support.program import invoke, runs
from tests.support.search import Search

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("search"),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium: apt install chromium chromium-driver"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.driver.quit()


def test_the_report_opens_without_errors_and_shows_each_trials_loss(
    searched: Search, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(searched.folder)
    assert invoke("--mode", "report", "--study", "beeps", "--output", str(tmp_path)).exit_code == 0
    browser.open((tmp_path / "reports" / "beeps" / "report.html").as_uri())
    shown = browser.wait_for("beeps")
    assert browser.errors() == []
    _, _, trials = runs(searched.folder)
    for trial in trials:
        assert trial.data.tags["mlflow.runName"] in shown
    best = min(trial.data.metrics["best.validation.loss"] for trial in trials)
    assert f"{best:.4g}"[:4] in shown
    assert browser.look("return [...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.look("return document.documentElement.scrollWidth <= window.innerWidth")


def test_mlflow_shows_a_trials_numbers_and_its_plots(searched: Search, browser: Browser) -> None:
    _, parent, trials = runs(searched.folder)
    trial = trials[0]
    loss = trial.data.metrics["validation.loss"]
    asks_who_is_logged_in = "/mlflow/users/current"  # MLflow asks that of itself, and answers 404 without a login
    with mlflow_ui(searched.folder) as address:
        browser.open(f"{address}/#/experiments/0/runs/{trial.info.run_id}")
        shown = browser.wait_for(trial.data.tags["mlflow.runName"], "validation.loss", str(loss))
        assert "hparams.learning_rate" in shown
        browser.open(f"{address}/#/experiments/0/runs/{trial.info.run_id}/model-metrics")
        browser.wait_for("grad.norm")
        browser.open(f"{address}/#/experiments/0/runs/{parent.info.run_id}")
        browser.wait_for("beeps", "Description")
        assert [error for error in browser.errors() if asks_who_is_logged_in not in error] == []
