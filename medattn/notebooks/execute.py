"""One notebook through papermill, as a process of its own: a stalled one can be killed with its kernel.

`running.py` calls `COMMAND SOURCE TARGET FOLDER SECONDS`, where SECONDS is the limit of a cell, 0 for none.
The exit code says how it ended; what failed stands in TARGET.
"""

import logging
import sys
import time
from threading import Thread

COMMAND = [sys.executable, "-P", "-c", f"import sys, {__name__} as e; sys.exit(e.main(*sys.argv[1:]))"]
FINISHED, FAILED, TIMED_OUT, DIED = 0, 1, 3, 4
KERNEL_START_LIMIT = 180  # seconds; papermill's 60 are too few on a machine that is busy


def main(source: str, target: str, folder: str, cell_limit: str) -> int:
    """Execute `source` in `folder`, writing `target` after every cell; give the exit code."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    Thread(target=_tick, daemon=True).start()
    look_after_sending()
    try:
        execute_notebook(
            source,
            target,
            cwd=folder,
            kernel_name="python3",
            start_timeout=KERNEL_START_LIMIT,
            execution_timeout=float(cell_limit) or None,
            progress_bar={"bar_format": "  cell {n_fmt} of {total_fmt} |{bar:40}| {elapsed}"},
            extra_arguments=["--log-level=ERROR"],  # of the kernel, which warns of every local connection
        )
    except PapermillExecutionError:
        return FAILED
    except CellTimeoutError:
        return TIMED_OUT
    except DeadKernelError:
        return DIED
    return FINISHED


def look_after_sending() -> None:
    """Let no cell with a control wait for an answer that has come: asynchronous Jupyter clients of this process only.

    What an Output widget shows is told to the kernel on the very socket on which the cell's answer is waited for. When
    the answer comes in just then, sending takes the socket's wake-up with it, and nobody looks (14 of 228 cells with
    `interact` hung so on a busy machine, with this none of 602). Asking for its events makes pyzmq look.
    """
    import zmq
    from jupyter_client.channels import AsyncZMQSocketChannel

    send = AsyncZMQSocketChannel.send

    def send_and_look(channel: AsyncZMQSocketChannel, message: object) -> None:
        send(channel, message)
        channel.socket.get(zmq.EVENTS)

    AsyncZMQSocketChannel.send = send_and_look


def _tick() -> None:
    """Let the clock of papermill's progress bar run on during a long cell."""
    from tqdm.auto import tqdm

    while True:
        time.sleep(1 if sys.stderr.isatty() else 60)
        for bar in list(getattr(tqdm, "_instances", ())):
            bar.refresh()
