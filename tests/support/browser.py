"""A headless Chromium, and a server of MLflow's interface for it to look at."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--window-size=1300,1000")
SECONDS = 60


class Browser:
    """One window. What it shows is read as text, and as the errors that its console holds."""

    def __init__(self) -> None:
        options = Options()
        for flag in (*FLAGS, *QUIET):
            options.add_argument(flag)
        options.binary_location = str(CHROMIUM)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, address: str) -> None:
        self.driver.get(address)

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for(self, *words: str) -> str:
        """The page's text, once it holds all of these."""

        def shown(_: object) -> bool:
            return all(word in self.text() for word in words)

        WebDriverWait(self.driver, SECONDS).until(shown, f"{words} are not all shown")
        return self.text()

    def look(self, script: str) -> object:
        """What JavaScript finds on the page."""
        return self.driver.execute_script(script)  # type: ignore[no-untyped-call]

    def errors(self) -> list[str]:
        """What the console calls severe since it was asked last."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]  # type: ignore[no-untyped-call]


@contextmanager
def mlflow_ui(folder: Path) -> Iterator[str]:
    """MLflow's interface as a person starts it in a folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        (folder / "ui.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as server,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(f"{address}/health"), lambda: (folder / "ui.log").read_text())
            yield address
        finally:
            server.terminate()


def wait_until(holds: Callable[[], bool], explain: Callable[[], str]) -> None:
    """Wait for a minute at most. Raises TimeoutError with the explanation."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(explain())
        time.sleep(0.2)


def answers(address: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
