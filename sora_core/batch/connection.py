"""Ray, reached: a cluster that is there, or one of this machine alone for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from ..errors import SoraError, expect
from ..words import short

PATIENCE = 4.0  # seconds that an address may take to answer
GIVEN_UP = 25.0  # seconds that a head may be silent: one that is started again is back by then, after 60 Ray gives up
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
_AUTH = "RAY_AUTH_MODE"
# A call as gRPC makes it, of which a Ray head answers with the name of its cluster: how an HTTP/2 client begins, its
# settings, the headers (written out, so that nothing has to be packed), an empty message.
_PATH = b"/ray.rpc.NodeInfoGcsService/GetClusterId"
_HEADERS = (
    b"\x83\x86\x04" + bytes([len(_PATH)]) + _PATH + b"\x01\x03ray"  # POST, http, the call, to whom
    b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
)
_CALL = b"".join((
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
    bytes((0, 0, len(_HEADERS), 1, 4, 0, 0, 0, 1)) + _HEADERS,
    bytes((0, 0, 5, 0, 1, 0, 0, 0, 1)) + bytes(5),
))  # fmt: skip
_DATA, _ANSWER, _ENDS = 0, 1, 1  # kinds of frames: what was asked for, its headers; the mark of the last one


@contextlib.contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Any]:
    """Yield Ray, connected: to HOST:PORT, to the cluster that this machine is in ("auto"), or to a local one.

    workers: of a local cluster. Raises SoraError within seconds where nobody answers.
    """
    os.environ.update(_QUIET)
    before = {name: os.environ.get(name) for name in (_ALONE, _AUTH)}
    if address == "local":
        os.environ[_ALONE] = "0"
    if address not in ("local", "auto"):
        ask(address)
    # stdout is for files, and Ray would fill it with pages of its own logs for each worker that dies.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            yield from _connected(address, workers)
        finally:
            # What a local cluster sets would hold for every later one of this process: Ray 2.60 makes a token for it.
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


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
            # Over TLS nothing is understood without Ray's own certificates: Ray asks by itself.
            ours = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true") or _answers(line)
    except (OSError, UnicodeError) as error:
        raise SoraError(f"Nobody answers at {address} ({error}): {remedy}") from error
    expect(ours, f"What answers at {address} is no Ray head: {remedy}")


def _answers(line: socket.socket) -> bool:
    """Tell whether who listens answers a call, by its own message or by refusing it as gRPC does."""
    line.sendall(_CALL)
    end = time.monotonic() + PATIENCE
    with line.makefile("rb") as frames:
        while True:
            line.settimeout(max(0.01, end - time.monotonic()))
            head = frames.read(9)
            if len(head) < 9 or head[:3] > b"\x00\x40\x00":  # nobody who was asked for no more sends longer frames
                return False
            body, of_call = frames.read(int.from_bytes(head[:3], "big")), head[5:] == b"\x00\x00\x00\x01"
            if of_call and head[3] == _DATA:
                return len(body) >= 5 and body[0] < 2  # a message of gRPC's, not a page
            if of_call and head[3] == _ANSWER and head[4] & _ENDS:
                return True


class Head:
    """Looks at the head of a cluster. Ray itself waits for one that is gone, and then ends this process."""

    def __init__(self, ray: Any) -> None:
        """ray: connected."""
        self.ray, self.address = ray, str(ray.get_runtime_context().gcs_address)
        self.heard = time.monotonic()

    def alive(self) -> set[str] | None:
        """Return the ids of the machines that are there, None where the head does not answer just now.

        Raises SoraError where it has not answered for long.
        """
        try:
            ask(self.address)
        except SoraError:
            gone = time.monotonic() - self.heard > GIVEN_UP
            expect(
                not gone, "The head of the cluster does not answer any more: start the cluster again, then the batch."
            )
            return None
        self.heard = time.monotonic()
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}


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
        token = ", or bring the token that it may ask for (RAY_AUTH_MODE=token, and its ~/.ray/auth_token here)"
        where = "This machine is in no Ray cluster" if address == "auto" else f"Ray at {address} cannot be joined"
        raise SoraError(
            f"{where} ({line:.200}): join it with `ray start --address=HEAD:6379 --num-cpus=0`{token}, or use --ray "
            "local."
        ) from error
    return ray
