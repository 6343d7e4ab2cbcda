"""JupyterLab on this machine and a Chromium, started once for all tests.

All folders of JupyterLab are temporary, those of the notebooks too. The checkout is only read, and
screenshots go to out/browser. The tests are skipped where there is no Chromium.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat
import pytest

try:
    from playwright import sync_api
except ModuleNotFoundError:
    sync_api = None

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "out" / "browser"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [  # no call home, and what a container needs
    *(
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },  # covers the page
    "@jupyterlab/notebook-extension/tracker": {
        "windowingMode": "none"
    },  # every cell is in the page
}
HARMLESS = {  # console errors that say nothing about the notebook, and why
    "favicon": "the browser asks for an icon that the server does not have",
    "the server responded with a status of 404": "JupyterLab asks whether settings exist",
}
SECONDS = 240  # of a busy machine, at most, until a notebook has run; quiet ones need a tenth


@pytest.fixture(scope="session")
def browser():
    if sync_api is None:
        pytest.skip("needs playwright: pip install 'medattn[dev]'")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium: apt-get install chromium fonts-dejavu-core")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def lab(folder, browser):
    """The address of a JupyterLab, and its token."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    for name, values in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    (folder / "notebooks").mkdir()
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
    }
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    own |= {"MEDATTN_RUNS": "runs", "MEDATTN_DATA": "cache", "MEDATTN_CACHE": "cache"}
    environment = os.environ | {name: str(folder / path) for name, path in own.items()}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONOPTIMIZE": "1",
    }  # a training this short fulfils no assert
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
    ]
    words += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    words += [f"--ServerApp.root_dir={folder / 'notebooks'}", "--LabApp.extension_manager=readonly"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api?token={token}", server, folder / "log")
        yield address, token
    finally:
        server.terminate()  # and its kernels
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            return urlopen(address).close()
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


class Notebook:
    """A notebook open in JupyterLab."""

    def __init__(self, page):
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-Cell")

    def menu(self, name: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=entry).first.click()

    def run_all(self) -> None:
        self.menu("Run", "Run All Cells")

    def wait(self) -> None:
        """Wait until the kernel is idle: the text tells, and the status attribute is too early."""
        sync_api.expect(self.page.get_by_text("| Idle")).to_be_visible(timeout=1000 * SECONDS)
        sync_api.expect(self.page.get_by_text("[*]:")).to_have_count(0, timeout=1000 * SECONDS)

    def errors(self) -> list[str]:
        """What cells ended with; warnings look alike, but have no traceback."""
        said = self.page.locator(".jp-OutputArea-output").all_inner_texts()
        return [text for text in said if "Traceback (most recent call last)" in text]

    def cell_with(self, text: str):
        """Give the code cell with this in its source."""
        return (
            self.page.locator(".jp-CodeCell")
            .filter(has=self.page.locator(".jp-Editor", has_text=text))
            .first
        )

    def screenshot(self, name: str, of=None) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (of or self.page).screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def opened(browser, lab, folder):
    """Open a notebook, given as cells or content; its page may log no error to the console."""
    address, token = lab

    @contextmanager
    def opening(name: str, content: nbformat.NotebookNode):
        nbformat.write(content, folder / "notebooks" / f"{name}.ipynb")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(1000 * SECONDS)
        said = []
        page.on(
            "console",
            lambda message: said.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        try:
            page.goto(f"{address}/lab/tree/{name}.ipynb?token={token}&reset")
            sync_api.expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(
                timeout=1000 * SECONDS
            )
            yield Notebook(page)
            wrong = [text for text in said if not any(harmless in text for harmless in HARMLESS)]
            assert not wrong, "\n".join(wrong)
        except BaseException:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{name}_failed.png")
            raise
        finally:
            page.close()

    return opening
