"""A headless Chromium driven by the WebDriver protocol, as much of it as the report's test needs."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element
KEYS = {"right": "\ue014", "left": "\ue012", "home": "\ue011", "end": "\ue010", "tab": "\ue004", "down": "\ue015"}


@contextmanager
def browser(width=1200, height=900):
    """A fresh session; a machine without Chromium is told how to get it, never passed over."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("chromium-browser")
    assert driver and chromium, "the report is tested in Chromium: run `make browser` as root"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # nothing is left in anybody's home
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        process = subprocess.Popen(
            [driver, f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **places},
            start_new_session=True,
        )
        try:
            session = Session(f"http://127.0.0.1:{port}", chromium, width, height)
            yield session
            session.close()
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the driver and whatever it started; asked to end, it may linger
            process.wait()


class Session:
    def __init__(self, address, chromium, width, height):
        self.address = address
        # No sandbox: root has none. Host rules: a page that asked for anything on the network would fail.
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-breakpad",
            "--disable-crash-reporter",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--window-size={width},{height}",
        ]
        options = {"binary": chromium, "args": arguments}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        deadline = time.monotonic() + 30
        while True:
            try:
                self.path = "/session/" + self._send("POST", "/session", {"capabilities": wanted})["sessionId"]
                return
            except OSError:  # the driver is not listening yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def open(self, path):
        self._send("POST", self.path + "/url", {"url": path.as_uri()})

    def run(self, script):
        return self._send("POST", self.path + "/execute/sync", {"script": script, "args": []})

    def press(self, selector, *keys):
        found = self._send("POST", self.path + "/element", {"using": "css selector", "value": selector})
        text = "".join(KEYS.get(key, key) for key in keys)
        self._send("POST", f"{self.path}/element/{found[ELEMENT]}/value", {"text": text})

    def tab(self):
        """The Tab key, wherever the focus is."""
        keys = [{"type": kind, "value": KEYS["tab"]} for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        self._send("POST", self.path + "/actions", {"actions": actions})

    def phone(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
        self._send("POST", self.path + "/goog/cdp/execute", command)

    def messages(self):
        return self._send("POST", self.path + "/se/log", {"type": "browser"})

    def screenshot(self):
        return base64.b64decode(self._send("GET", self.path + "/screenshot"))

    def close(self):
        self._send("DELETE", self.path)

    def _send(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
