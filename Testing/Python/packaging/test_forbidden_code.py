"""The library unpickles nothing, evaluates no text, starts no shell, and imports nothing that connects to a network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[3] / "LightRegistration"
FILES = sorted([MODULE / "LightRegistration.py", *(MODULE / "LightRegistrationLib").rglob("*.py")])
NETWORK = {"socket", "ssl", "urllib", "http", "ftplib", "smtplib", "requests", "aiohttp", "xmlrpc", "webbrowser"}
PICKLES = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"}
ALLOWED = {
    # The error that torch's own loader raises; nothing is unpickled with it.
    "LightRegistrationLib/training/state.py": {"import pickle"},
    # The worker process, and the installation of packages that the user agreed to.
    "LightRegistrationLib/worker/session.py": {"import subprocess"},
    "LightRegistrationLib/panel/running/environment.py": {"import subprocess"},
}


def find_forbidden(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            roots = {name.partition(".")[0] for name in names} if not getattr(node, "level", 0) else set()
            yield from (f"import {name}" for name in sorted(roots & (NETWORK | PICKLES | {"subprocess"})))
        elif isinstance(node, ast.Call):
            yield from find_forbidden_call(node)


def find_forbidden_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in CALLS or name.startswith(("pickle.", "os.spawn", "os.exec")):
        yield f"call {name}"
    if keywords.get("shell", "False") != "False":
        yield f"shell in {name}"
    if name == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only"
    if keywords.get("allow_pickle", "False") != "False":
        yield f"allow_pickle in {name}"


def test_the_library_holds_no_forbidden_code() -> None:
    assert len(FILES) > 150
    found = {
        name: set(find_forbidden(file.read_text(encoding="utf-8"))) - ALLOWED.get(name, set())
        for file in FILES
        for name in [file.relative_to(MODULE).as_posix()]
    }
    assert {name: what for name, what in found.items() if what} == {}


def test_what_is_allowed_is_still_needed() -> None:
    for name, allowed in ALLOWED.items():
        assert allowed <= set(find_forbidden((MODULE / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import urllib.request",
        "from http import client",
        "import pickle",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "os.system('ls')",
    ],
)
def test_forbidden_code_would_be_found(source: str) -> None:
    assert list(find_forbidden(source))
