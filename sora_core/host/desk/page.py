"""The page of the node editor: the official frontend's, and what it may run and load."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from pathlib import Path

from ...errors import SoraError

_RULES = (
    # The frontend compiles WebAssembly (fonts, meshes); of what stands in its page itself, what was installed may run.
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:{}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


def frontend() -> Path:
    """Find the official frontend's files. Raises SoraError where it is not installed."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    folder = Path(spec.origin).parent / "static" if spec and spec.origin else None
    if folder is None or not (folder / "index.html").is_file():
        raise SoraError("The page needs the package comfyui-frontend-package: pip install comfyui-frontend-package")
    return folder


def page_rules(page: Path | None = None) -> str:
    """Return the Content-Security-Policy of answers, or of a page whose own scripts may run, by their hashes.

    Source: Content Security Policy Level 3, "Usage of nonces and hashes".
    """
    text = "" if page is None else page.read_text(encoding="utf-8")  # with a line feed a line, as browsers hash it
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts)
    return _RULES.format("".join(f" 'sha256-{one}'" for one in hashes))
