"""A time stamp authority on this machine: `openssl ts` behind a server on the loopback, or answers that are broken."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""
REFUSED = bytes.fromhex("30053003020102")  # PKIStatus 2, rejection


def make_authority(folder: Path) -> Path:
    """Make the authority's root and certificate; returns the root's file."""
    folder.mkdir(exist_ok=True)
    (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
    (folder / "ext").write_text(
        "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=critical,timeStamping\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    (folder / "serial").write_text("01\n")
    run = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-sha256"]
    _do([*run, "-x509", "-days", "30", "-subj", "/O=Clock", "-keyout", "ca.key", "-out", "ca.pem"], folder)
    _do([*run, "-subj", "/O=Clock/CN=stamps", "-keyout", "tsa.key", "-out", "tsa.csr"], folder)
    sign = ["openssl", "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    _do([*sign, "-days", "20", "-sha256", "-extfile", "ext", "-out", "tsa.pem"], folder)
    return folder / "ca.pem"


def _do(words: list[str], folder: Path) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


def has_openssl() -> bool:
    return shutil.which("openssl") is not None


@contextmanager
def authority(folder: Path, answer: bytes | int | None = None) -> Iterator[str]:
    """Serve stamps, or always `answer`: bytes, or the code of an error. Gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if isinstance(answer, int):
                self.send_error(answer)
                return
            reply = answer
            if reply is None:
                (folder / "q.tsq").write_bytes(query)
                words = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-out", "r.tsr"]
                _do(words, folder)
                reply = (folder / "r.tsr").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
