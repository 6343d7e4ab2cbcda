"""Running and refreshing notebooks, on small ones made here."""

import asyncio
import io
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel, ZMQSocketChannel
from jupyter_client.session import Session
from tqdm.auto import tqdm

from medattn import cli, paths
from medattn.runner import NotebookFailed, all_notebooks, execute, find_notebook, refresh, run
from medattn.runner.refreshing import IGNORED, ONE_RUN, normalise

PARAMETERS = "epochs: int = 3  # the paper: 150\nscales: tuple[int, ...] = (1, 2)  # of the pyramid"
SLEEP = "import subprocess, time\nsubprocess.Popen(['sleep', '977'])\ntime.sleep(977)"


def write(root, name, *cells):
    """Write a notebook: a title, the parameters, then code cells as (source, tag) or source."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell(
            f"# {name[:2]} · Title\n\n[next](01_next.ipynb) [there](01_next.ipynb#There)"
        )
    ]
    for cell in [(PARAMETERS, "parameters"), *cells]:
        source, *tags = (cell,) if isinstance(cell, str) else cell
        notebook.cells.append(
            nbformat.v4.new_code_cell(source, metadata={"tags": tags} if tags else {})
        )
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def printed(path):
    """Return what each code cell of an executed notebook printed."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def sleepers():
    return [
        p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "977"]
    ]


def test_notebooks_have_names(tmp_path):
    for name in ("04_training", "00_tour", "solutions/04_training"):
        write(tmp_path, name)
    (tmp_path / "notebooks" / "Untitled.ipynb").write_text("{}")
    assert [notebook.name for notebook in all_notebooks(tmp_path)] == ["00", "04", "solutions/04"]
    for name in ("04", "04_training", "notebooks/04_training.ipynb"):
        assert find_notebook(name, tmp_path).path == tmp_path / "notebooks" / "04_training.ipynb"
    solution = find_notebook("solutions/04", tmp_path)
    assert solution.output() == tmp_path / "out" / "solutions" / "04_training.ipynb"
    with pytest.raises(
        ValueError, match="there is no notebook '44'; there are 00, 04, solutions/04"
    ):
        find_notebook("44", tmp_path)
    with pytest.raises(ValueError, match=r"there are none in .*elsewhere"):
        find_notebook("04", tmp_path / "elsewhere")


def test_values_keep_their_types_in_the_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    write(tmp_path, "04_training", "print(repr(epochs), repr(scales))")
    settings = tmp_path / "notebooks" / "paper" / "04.yaml"
    settings.parent.mkdir()
    settings.write_text("epochs: 150\nscales: [1, 2, 4]\n")
    assert cli.main(["run", "04", "--paper", "-p", "epochs=7"]) == 0
    done = tmp_path / "out" / "04_training.paper.ipynb"
    assert printed(done)[-1] == "7 (1, 2, 4)\n"
    assert str(done) in capsys.readouterr().out
    assert all(
        f'href="{link}"' in done.with_suffix(".html").read_text()
        for link in ("../notebooks/01_next.ipynb", "../notebooks/01_next.ipynb#There")
    )
    assert not (tmp_path / "out" / "04_training.ipynb").exists()


def test_refresh_starts_with_empty_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for variable in ("MEDATTN_RUNS", "MEDATTN_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))  # is not empty
    ask = "from medattn.paths import data_folder, runs_folder\n"
    ask += "print([sorted(f.glob('*')) for f in (data_folder(), runs_folder())])"
    path = write(tmp_path, "04_training", ask)
    assert cli.main(["refresh", "04"]) == 0
    assert printed(path)[-1] == "[[], []]\n"


def test_failures_are_named_and_the_rest_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    write(tmp_path, "01_fails", "print('first')", "raise KeyError('boom')", "print('never')")
    write(
        tmp_path,
        "02_dies",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "print('never')",
    )
    write(tmp_path, "solutions/01_silent", "x = 1")
    assert cli.main(["run", "--all"]) == 1
    errors = capsys.readouterr().err
    problem = (
        "01_fails failed in cell 4 of 5, In [3]: KeyError: 'boom'; what ran is in out/01_fails"
    )
    assert f"medattn: {problem}.ipynb" in errors
    assert "medattn: 02_dies lost its kernel in cell 3 of 4" in errors
    assert "medattn: solutions/01_silent came to its end without a result" in errors
    assert errors.endswith("medattn: failed: 01, 02, solutions/01\n")
    assert "first\n" in printed(tmp_path / "out" / "01_fails.ipynb")
    assert not list((tmp_path / "out").rglob("*.html"))


def test_stalled_notebook_is_tried_twice_and_killed(tmp_path, capfd):
    write(tmp_path, "03_stalls", SLEEP, "print('never')")
    with pytest.raises(NotebookFailed, match="03_stalls did not end within its time; it stopped"):
        run(find_notebook("03", tmp_path), limit=3.5)
    assert capfd.readouterr().err.count("once more") == 1
    assert not sleepers()


def test_interrupt_kills_the_kernel(tmp_path):
    write(tmp_path, "03_stalls", SLEEP, "print('never')")
    code = "import sys, pathlib; from medattn import cli, paths; "
    code += "paths.ROOT = pathlib.Path(sys.argv[1]); sys.exit(cli.main(['run', '03']))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not sleepers() and time.monotonic() < end:
            time.sleep(0.1)
        assert sleepers()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        for pid in (process.pid, *sleepers()):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("medattn: interrupted; the same command resumes")
    assert not sleepers()


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    root = tmp_path_factory.mktemp("refreshed")
    path = write(
        root,
        "05_maps",
        "import matplotlib.pyplot as plt\nfrom ipywidgets import IntSlider, interact",
        "for k in range(3):\n    print('epoch', k)",
        "plt.plot([0, 1])\nplt.show()",
        ("interact(lambda k: print(k), k=(0, 3))", "nbval-ignore-output"),
        "IntSlider()",
        "epochs",
    )
    assert refresh(
        find_notebook("05", root), limit=90
    )  # one that stalls with widgets is tried once more
    return path


def test_refresh_keeps_what_can_be_compared(refreshed):
    notebook = json.loads(refreshed.read_text())
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, 8)]
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{k:02d}" for k in range(8)]
    assert [cell["metadata"] for cell in code if cell["metadata"]] == [
        {"tags": ["parameters"], "jupyter": {"source_hidden": True}},
        {"tags": ["nbval-ignore-output"]},
    ]
    assert sorted(notebook["metadata"]) == ["kernelspec", "language_info", "medattn"]
    assert [output["text"] for output in code[2]["outputs"]] == [
        ["epoch 0\n", "epoch 1\n", "epoch 2\n"]
    ]
    assert "image/png" in code[3]["outputs"][0]["data"]
    assert code[4]["outputs"] == code[5]["outputs"] == []
    assert code[6]["outputs"][0]["data"] == {"text/plain": ["3"]}


def test_the_numbers_of_one_run_are_kept_without_a_progress_bar():
    shown = [nbformat.v4.new_output("stream", name=n, text=n) for n in ("stdout", "stderr")]
    ignored = {"tags": ["nbval-ignore-output"]}
    cells = [
        nbformat.v4.new_code_cell("fit()", outputs=shown, metadata=ignored),
        nbformat.v4.new_code_cell("fit()", outputs=shown, metadata={"tags": [IGNORED, ONE_RUN]}),
    ]
    kept = normalise({"cells": cells})["cells"]
    assert kept[0]["outputs"] == []
    assert [output["name"] for output in kept[1]["outputs"]] == ["stdout"]


def test_second_refresh_changes_no_byte(refreshed):
    before = refreshed.read_bytes()
    assert not refresh(find_notebook("05", refreshed.parents[1]), limit=90)
    assert refreshed.read_bytes() == before


def test_refresh_keeps_the_file_on_failure(tmp_path):
    large = write(tmp_path, "06_large", "print('x' * 600_000)")
    fails = write(tmp_path, "07_fails", "1 / 0")
    before = large.read_bytes(), fails.read_bytes()
    with pytest.raises(
        ValueError,
        match=r"notebook 06 would be 60\d kB, of which 600 kB are .* of cell-02; the limit",
    ):
        refresh(find_notebook("06", tmp_path))
    with pytest.raises(NotebookFailed, match="ZeroDivisionError: division by zero"):
        refresh(find_notebook("07", tmp_path))
    assert (large.read_bytes(), fails.read_bytes()) == before


def test_nbval_finds_a_changed_output(tmp_path):
    path = write(tmp_path, "08_compared", "print('accuracy', 0.5)")
    refresh(find_notebook("08", tmp_path))
    changed = path.with_name("09_changed.ipynb")
    changed.write_text(path.read_text().replace("accuracy 0.5", "accuracy 0.6"))
    words = [
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        "-c",
        "/dev/null",
        str(path.parent),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "1 failed, 3 passed" in done.stdout, done.stdout
    assert "09_changed.ipynb::Cell 1" in done.stdout and "mismatch 'stdout'" in done.stdout, (
        done.stdout
    )


def test_checkout_is_found():
    assert Path(__file__).resolve().parents[2] == paths.ROOT


def test_answer_during_a_send_is_not_missed(monkeypatch):
    """A client sends an Output widget's content on the socket on which it waits for the answer."""
    monkeypatch.setattr(AsyncZMQSocketChannel, "send", AsyncZMQSocketChannel.send)  # put it back
    execute.poll_after_send()
    assert AsyncZMQSocketChannel.send is not ZMQSocketChannel.send

    async def answers():
        session = Session(key=b"key")
        with (
            zmq.asyncio.Context() as context,
            zmq.Context.shadow(context).socket(zmq.DEALER) as kernel,
            context.socket(zmq.DEALER) as client,
        ):
            client.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
            channel = AsyncZMQSocketChannel(client, session)
            for _ in range(3):
                waiting = asyncio.create_task(channel.get_msg(timeout=None))
                await asyncio.sleep(0.2)  # it waits now
                session.send(kernel, "execute_reply")
                time.sleep(0.2)  # the answer is there, and the loop has not looked yet
                channel.send(session.msg("comm_msg"))
                assert (await asyncio.wait_for(waiting, 10))["msg_type"] == "execute_reply"

    with ThreadPoolExecutor(1) as pool:  # this thread may already run a loop, of a browser test
        pool.submit(asyncio.run, answers()).result()


def test_send_of_jupyter_client_itself_is_left_alone(monkeypatch):
    async def send(channel, message):
        pass

    monkeypatch.setattr(AsyncZMQSocketChannel, "send", send)
    execute.poll_after_send()
    assert AsyncZMQSocketChannel.send is send


def test_tqdm_lists_the_bars_to_refresh():
    bar = tqdm(total=1, disable=False, file=io.StringIO())
    assert bar in tqdm._instances
    bar.close()
