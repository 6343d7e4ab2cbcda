"""Execute one notebook with papermill, in a process that can be killed together with its kernel.

`running.run` starts `COMMAND SOURCE TARGET FOLDER`. The exit code is one of the three below.
TARGET holds the outputs and the error, if any.
"""

import logging
import sys
import time
from threading import Thread

_CODE = f"import sys, {__name__} as execute; sys.exit(execute.main(*sys.argv[1:]))"
COMMAND = [sys.executable, "-P", "-c", _CODE]
FINISHED, FAILED, DIED = 0, 1, 3  # exit codes


def main(source: str, target: str, folder: str) -> int:
    """Execute `source` in `folder`, write `target` after every cell, and return the exit code."""
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    Thread(target=_refresh_progress_bar, daemon=True).start()
    poll_after_send()
    try:
        execute_notebook(
            source,
            target,
            cwd=folder,
            kernel_name="python3",
            start_timeout=180,  # seconds; 60 are too few on a busy machine
            progress_bar={"bar_format": "  cell {n_fmt} of {total_fmt} |{bar:40}| {elapsed}"},
            extra_arguments=["--log-level=ERROR"],  # the kernel warns of every local connection
        )
    except PapermillExecutionError:
        return FAILED
    except DeadKernelError:
        return DIED
    return FINISHED


def poll_after_send() -> None:
    """Make the asynchronous Jupyter clients of this process look for an answer after each message.

    An Output widget sends on the socket on which the client waits for the cell's answer. An answer
    that arrives during the send loses its wake-up, and the client may wait for ever. Reading the
    socket's events makes pyzmq look. This replaces `AsyncZMQSocketChannel.send`, unless
    jupyter_client gives that class a `send` of its own.
    """
    import zmq
    from jupyter_client.channels import AsyncZMQSocketChannel, ZMQSocketChannel

    send = ZMQSocketChannel.send

    def send_and_poll(channel: AsyncZMQSocketChannel, message: dict) -> None:
        send(channel, message)
        channel.socket.get(zmq.EVENTS)

    if AsyncZMQSocketChannel.send is send:
        AsyncZMQSocketChannel.send = send_and_poll  # type: ignore[assignment,method-assign]


def _refresh_progress_bar() -> None:
    """Keep the clock of papermill's progress bar going during a long cell."""
    from tqdm.auto import tqdm

    while True:
        time.sleep(1 if sys.stderr.isatty() else 60)
        for bar in list(getattr(tqdm, "_instances", ())):
            bar.refresh()
