"""``python -m adain_lit.app``: a web page that stylises images."""

import argparse
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from adain_lit.cli import run
from adain_lit.errors import InputError
from adain_lit.io.files import temporary_folder
from adain_lit.web.gate import Gate, print_errors_in_one_line

MEGABYTE = 1024**2
SLACK = MEGABYTE // 4
"""Bytes of a request beyond those of its file."""
SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
    SIGNALS.append(signal.SIGHUP)


def main() -> int:
    """Command line entry point; the exit status."""
    return run(parser(), serve)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.app",
        description="Serve a web page that stylises images. It works offline.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = command.add_argument
    add(
        "--checkpoint",
        default="compact",
        metavar="NET",
        help="compact, the folder of a run, .ckpt, .safetensors or decoder.pth",
    )
    add("--encoder", metavar="FILE", help="encoder weights, if the checkpoint has none")
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is if not given")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 admits other computers")
    add("--port", type=int, default=7860, help="port to listen on")
    add("--max-pixels", type=int, default=16_000_000, metavar="N", help="larger images are refused")
    add("--max-megabytes", type=int, default=20, metavar="N", help="larger files are refused")
    add("--max-total-megabytes", type=int, default=2000, metavar="N", help="uploads and results of all users together")
    add("--name", action="append", default=[], metavar="HOST", help="name by which others reach the page; repeatable")
    add("--queue", type=int, default=16, metavar="N", help="requests that may wait; images are made one at a time")
    return command


def serve(arguments: argparse.Namespace) -> None:
    """Serve the page until SIGINT, SIGTERM, or SIGHUP of a terminal that is closed."""
    limits = {"port": 65535, "max_pixels": None, "max_megabytes": None, "max_total_megabytes": None, "queue": None}
    for name, most in limits.items():
        value = getattr(arguments, name)
        if value < 1 or (most and value > most):
            limit = f"from 1 to {most}" if most else "at least 1"
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be {limit}")
    if find_spec("gradio") is None:
        raise InputError("the page needs gradio, which is not installed; pip install 'adain_lit[app]'")
    _require_free(arguments.host, arguments.port)
    with temporary_folder("adain_app_") as folder:
        _set_environment(folder)
        # imports torch, which takes seconds: after everything that can be refused without it
        from adain_lit.devices import keep_freed_memory
        from adain_lit.inference.stylizer import load
        from adain_lit.io.memory import feature_budget

        keep_freed_memory(feature_budget())
        stylizer = load(arguments.checkpoint, encoder=arguments.encoder, device=arguments.device)
        from starlette.middleware import Middleware

        from adain_lit.web import page
        from adain_lit.web.service import StylizeService

        blocks = page.build(StylizeService(stylizer, folder, max_pixels=arguments.max_pixels))
        blocks.queue(max_size=arguments.queue, default_concurrency_limit=1, api_open=False)
        stop = threading.Event()
        for number in SIGNALS:
            signal.signal(number, lambda *_: stop.set())
        print_errors_in_one_line()
        gate = Middleware(
            Gate,
            files=str(folder),
            max_bytes=arguments.max_megabytes * MEGABYTE + SLACK,
            max_total=arguments.max_total_megabytes * MEGABYTE,
            hosts=["localhost", socket.gethostname(), arguments.host, *arguments.name],
        )
        # launch() rather than mounting in an app of our own: only then does Gradio check that files named in requests
        # are in its upload folder
        _, url, _ = blocks.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            max_file_size=arguments.max_megabytes * MEGABYTE,
            app_kwargs={"middleware": [gate]},
            allowed_paths=[],
            show_error=False,
            share=False,
            inbrowser=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            prevent_thread_lock=True,
            quiet=True,
            theme=page.theme(),
            css=page.CSS,
        )
        sys.stdout.write(f"the page is at {url}   (Ctrl-C to stop)\n")
        sys.stdout.flush()
        while not stop.wait(1):
            pass
        blocks.close(verbose=False)
    with suppress(OSError):  # the terminal is closed
        sys.stdout.flush()
    os._exit(0)  # a thread may still make an image, and Python's own end would abort under it


def _set_environment(folder: Path) -> None:
    """Override Gradio's environment variables: nothing may open more than this command says, and no telemetry."""
    for name in list(os.environ):
        if name.startswith("GRADIO_") and name != "GRADIO_ROOT_PATH":
            del os.environ[name]
    local = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost")))
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(folder),
        GRADIO_EXAMPLES_CACHE=str(folder / "examples"),
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        NO_PROXY=local,  # Gradio requests its own page to check that it is up
        no_proxy=local,
    )


def _require_free(host: str, port: int) -> None:
    """Check that the page can listen there, before the network is loaded."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        reason = str(error.strerror).split(" (")[0]
        raise InputError(f"cannot listen on port {port} of {host}: {reason}; give another --port") from error


if __name__ == "__main__":
    sys.exit(main())
