"""A signed and marked video plays in Chromium, from its first frame to its last."""

from __future__ import annotations

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from sora_core.media.write import write_video
from sora_core.provenance import History, Model, plan
from sora_core.provenance.credentials.verify import verify

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = """<video id=v muted src="/a.mp4"></video><script>
const v = document.getElementById("v"), tell = text => fetch("/told", {method: "POST", body: text});
v.onerror = () => tell("error " + v.error.message);
v.onended = () => {
  const c = document.createElement("canvas"); c.width = v.videoWidth; c.height = v.videoHeight;
  const x = c.getContext("2d"); x.drawImage(v, 0, 0);
  const [r, g, b] = x.getImageData(c.width / 2, c.height / 2, 1, 1).data;
  tell(["ended", c.width, c.height, v.duration, r, g, b].join(" "));
};
v.play().catch(error => tell("error " + error));
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_signed_video_plays_to_its_end(tmp_path):
    path, told, done = tmp_path / "a.mp4", [], threading.Event()
    frames = torch.zeros(9, 64, 96, 3)
    frames[-1] = torch.tensor([0.1, 0.2, 0.9])  # what is seen at the end
    write_video(path, frames, 8, crf=4, saving=plan(History((Model("mini"),))))
    assert verify(path).state == "intact"

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (path.read_bytes(), "video/mp4") if self.path == "/a.mp4" else (PAGE.encode(), "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"http://127.0.0.1:{server.server_port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert done.wait(90), "Chromium said nothing"
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
    word, *numbers = told[0].split()
    assert word == "ended", told
    width, height, seconds, red, green, blue = map(float, numbers)
    assert (width, height) == (96, 64) and abs(seconds - 9 / 8) < 0.05
    assert abs(red - 26) < 16 and abs(green - 51) < 16 and abs(blue - 230) < 16
