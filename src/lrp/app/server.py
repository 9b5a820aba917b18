"""Serves the page on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from lrp.app.choice import Choice, Words
from lrp.app.guard import Guard
from lrp.app.uploads import MAX_BYTES
from lrp.errors import InputError, MissingExtraError

__all__ = ["require", "serve"]

HERE = "127.0.0.1"


def require() -> None:
    """Raise a MissingExtraError if gradio is not installed; it is not imported, which takes seconds."""
    if find_spec("gradio") is None:
        cure = 'pip install "lrp[app]"'
        raise MissingExtraError("the app needs a package", where="lrp app", seen="no gradio", cure=cure)


def serve(choices: Sequence[Choice], words: Words, *, port: int, ready: Callable[[str], object]) -> None:
    """Serve the page until Ctrl+C.

    Args:
        choices: the models.
        words: how the page's words are read.
        port: on 127.0.0.1; 0 takes a free one.
        ready: called with the page's address once it can be opened.

    Raises:
        InputError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="lrp-app-") as folder:
        # read by gradio and huggingface_hub as they are imported: no telemetry, no hub, uploads in a folder of ours
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": folder}
        import gradio
        import uvicorn
        from fastapi import FastAPI

        from lrp.app.page import STYLE, page, theme

        with bound(port) as listening:
            port = listening.getsockname()[1]
            blocks = page(choices, words, Path(folder))
            blocks.has_launched = True  # else gradio moves files from anywhere into its cache
            pages = gradio.mount_gradio_app(
                FastAPI(openapi_url=None),
                blocks,
                path="/",
                server_name=HERE,
                server_port=port,
                footer_links=[],
                run_history=False,
                max_file_size=MAX_BYTES,
                show_error=False,
                ssr_mode=False,
                enable_monitoring=False,
                pwa=False,
                mcp_server=False,
                theme=theme(),
                css=STYLE,
            )
            guard = Guard(pages, port, Path(folder))
            server = uvicorn.Server(uvicorn.Config(guard, log_level="warning", timeout_graceful_shutdown=2))
            # uvicorn raises the signal that stopped it once more: as an exception, so that the folder is deleted
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            ready(f"http://{HERE}:{port}")
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])


def bound(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1."""
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HERE, port))
        listening.listen()
    except OSError as error:
        listening.close()
        cure = "give another one: --port 0 takes a free one"
        raise InputError("the port cannot be used", where="--port", seen=f"{port}: {error}", cure=cure) from error
    return listening
