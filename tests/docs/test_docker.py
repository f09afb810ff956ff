"""The Dockerfiles cannot be built where the tests run: what they copy exists, and they run as nobody special."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_dockerfile(name):
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in lines} <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    assert re.fullmatch(r"FROM python:3\.\d+-slim", lines[0])
    assert 'ENTRYPOINT ["mdcsrn-infer"]' in lines
    commands = [line.split()[0] for line in lines]
    assert commands.index("USER") > max(i for i, command in enumerate(commands) if command == "RUN")
    assert "mdcsrn-infer = mdcsrn_tf.cli.infer:main" in (ROOT / "setup.py").read_text()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                # README and LICENSE are the packaging's; the others must be here and must not be ignored.
                assert source in ("README.md", "LICENSE") or (ROOT / source).exists()
                assert f"!{Path(source).name}" in allowed
    extras = re.search(r"\.\[([a-z,]+)\]", text).group(1).split(",")
    for extra in extras:
        assert f'"{extra}": [' in (ROOT / "setup.py").read_text()
