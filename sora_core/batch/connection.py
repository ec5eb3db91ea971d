"""Ray, reached: a cluster that is there, or one of this machine alone for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

from ..errors import SoraError, expect
from ..words import short

PATIENCE = 4.0  # seconds that an address may take to answer
STORE = 256 << 20  # bytes of the store of a local cluster: its workers share this machine's memory
# Said before Ray is imported: nothing is reported to anybody, and a job without a GPU sees none.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_DEDUP_LOGS": "0",
}
# Said before Ray is imported: a cluster of one machine listens on the loopback address alone. The name is of what else
# it does, on the systems where that is usual.
_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# How an HTTP/2 client begins, and an empty frame of settings: a Ray head answers with settings of its own.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@contextlib.contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Any]:
    """Yield Ray, connected: to HOST:PORT, to the cluster that this machine is in ("auto"), or to a local one.

    workers: of a local cluster. Raises SoraError within seconds where nobody answers.
    """
    os.environ.update(_QUIET)
    if address == "local":
        os.environ[_ALONE] = "0"
    if address not in ("local", "auto"):
        ask(address)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for files, and Ray would tell of dead workers there
        yield from _connected(address, workers)


def _connected(address: str, workers: int | None) -> Iterator[Any]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ray = _start(address, workers)
    try:
        # Ray sets handlers of its own; those of the command clean up.
        for number, handler in before.items():
            with contextlib.suppress(ValueError, TypeError):  # not in the main thread, or nobody's
                signal.signal(number, handler)
        yield ray
    finally:
        ray.shutdown()


def ask(address: str) -> None:
    """Raise SoraError unless something that speaks as a Ray head does answers at HOST:PORT."""
    remedy = "start one with `ray start --head`, check host and port, or use --ray local."
    expect(
        not address.startswith("ray://"),
        f"--ray {address}: start the command on a machine of the cluster, and name HOST:PORT or auto.",
    )
    host, colon, port = address.rpartition(":")
    fits = bool(host and colon) and port.isdecimal() and 0 < int(port) < 65536
    expect(fits, f"--ray {short(address)} is no address: write HOST:PORT, as 10.0.0.1:6379, or local, or auto.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as line:
            line.settimeout(PATIENCE)
            line.sendall(_PREFACE)
            head = line.recv(9)
    except (OSError, UnicodeError) as error:
        raise SoraError(f"Nobody answers at {address} ({error}): {remedy}") from error
    expect(len(head) == 9 and head[3] == 4, f"What answers at {address} is no Ray head: {remedy}")


def _start(address: str, workers: int | None) -> Any:
    import ray

    usual: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address == "local":
            ray.init(
                address="local",
                num_cpus=workers or os.cpu_count(),
                include_dashboard=False,
                object_store_memory=STORE,
                **usual,
            )
        else:
            ray.init(address=address, **usual)
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "ersion mismatch" in str(error):
            line = " ".join(str(error).split())
            raise SoraError(
                f"Ray on this machine and on the cluster differ ({line:.240}): install the same."
            ) from error
        where = "This machine is in no Ray cluster" if address == "auto" else f"Ray at {address} cannot be joined"
        raise SoraError(
            f"{where} ({line:.200}): join it with `ray start --address=HEAD:6379 --num-cpus=0`, or use --ray local."
        ) from error
    return ray
