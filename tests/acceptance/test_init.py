"""A new user begins with ``gateway init``, in a checkout and from an installed wheel."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.harness import GatewayProcess, eventually
from tests.acceptance.test_first_minutes import tracked_files
from tests.cli import command

ROOT = Path(__file__).parents[2]
STARTER = ["routes.yaml", ".env.example", "routes.schema.json"]
#: What the shipped routes.yaml takes from the environment.
VARIABLES = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """As a real command."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60,
        env={**clean, **environ},
    )  # fmt: skip


def holds_the_starter(folder: Path) -> None:
    expected = [*STARTER, *(str(path.relative_to(ROOT)) for path in (ROOT / "templates").rglob("*.j2"))]
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == sorted(expected)
    for name in expected:
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()


def reports_only_the_unset_variables(done: command.Done | subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    [problem, count] = done.stdout.splitlines()
    assert count == "1 problem"
    assert problem.startswith("routes.yaml: not set: ")
    assert set(re.findall(r"([A-Z_]+) \(line", problem)) <= VARIABLES


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init")
    done = command.run("init", "my gateway", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "my gateway", done.stdout


def test_init_writes_the_shipped_files(begun):
    holds_the_starter(begun[0])


def test_init_says_in_four_lines_what_to_do_next(begun):
    steps = begun[1].splitlines()
    assert [step[:2] for step in steps] == ["1.", "2.", "3.", "4."]
    assert "cd 'my gateway' && gateway dev" in steps[0]
    assert "gateway serve --env-file .env" in steps[3]


def test_check_of_what_init_wrote_reports_only_the_unset_variables(begun):
    reports_only_the_unset_variables(command.run("check", cwd=begun[0]))


def test_dev_runs_what_init_wrote(begun, tmp_path):
    shutil.copytree(begun[0], tmp_path, dirs_exist_ok=True)
    command = (sys.executable, "-m", "gateway", "dev")
    with GatewayProcess(tmp_path, command=command, environ=dict.fromkeys(VARIABLES, "")) as gateway:
        gateway.cli("send", "contact.created", "--to", f"http://{gateway.ingest}/in/xobito")
        eventually(lambda: "John" in json.dumps(gateway.api("/inbox")[1]), "the message is in the inbox")


def test_init_without_a_folder_writes_into_the_one_where_it_runs(tmp_path):
    done = command.run("init", cwd=tmp_path)
    assert done.returncode == 0
    assert "cd " not in done.stdout
    holds_the_starter(tmp_path)


@pytest.mark.parametrize("name", [*STARTER, "templates/crm/contact.json.j2"])
def test_init_overwrites_nothing_and_names_what_is_in_the_way(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    done = command.run("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{name} already" in done.stderr
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_init_beside_templates_of_ones_own_leaves_them(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "own.txt.j2").write_text("mine")
    assert command.run("init", cwd=tmp_path).returncode == 0
    assert (tmp_path / "templates" / "own.txt.j2").read_text() == "mine"


def test_init_into_what_is_no_folder_says_so_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = command.run("init", "file", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "file" in done.stderr


@pytest.mark.slow
def test_an_installed_wheel_holds_what_init_writes(tmp_path):
    source, target, folder = tmp_path / "source", tmp_path / "target", tmp_path / "folder"
    source.mkdir()
    folder.mkdir()
    tracked_files(source)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=100)
    [wheel] = (source / "dist").glob("*.whl")
    # An environment made by uv has no pip of its own.
    python = sys.executable if importlib.util.find_spec("pip") else getattr(sys, "_base_executable", sys.executable)
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=100)
    shutil.rmtree(source)
    environ = {"PYTHONPATH": str(target)}
    where = [sys.executable, "-c", "import gateway; print(gateway.__file__)"]
    found = subprocess.run(where, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(target)), "the wheel is tested, not the checkout"
    assert run("init", cwd=folder, **environ).returncode == 0
    holds_the_starter(folder)
    reports_only_the_unset_variables(run("check", cwd=folder, **environ))


def test_the_way_of_the_readme_to_slack_without_a_crm_leads_there(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    written = re.search(r"```\n *(XOBITO_WEBHOOK_SECRET=.*?)```", readme, re.DOTALL)[1]
    command.run("init", ".", cwd=tmp_path)
    (tmp_path / ".env").write_text(re.sub(r"^ +", "", written, flags=re.MULTILINE))
    routes = tmp_path / "routes.yaml"
    named = command.run("check", cwd=tmp_path).stdout
    assert set(re.findall(r"([A-Z_]+) \(line", named)) == {"CRM_URL", "CRM_TOKEN"}

    whole = routes.read_text("utf-8")
    routes.write_text(re.sub(r"^  crm:\n(?:    .*\n)+", "", whole, flags=re.MULTILINE), "utf-8")
    left = command.run("check", cwd=tmp_path).stdout
    # Each a list item, which is what is taken out: a route or a test.
    items = re.split(r"(?m)^(?=  - |\w)", routes.read_text("utf-8"))
    lines = [int(line) for line in re.findall(r"^routes.yaml:(\d+):\d+: unknown destination", left, re.MULTILINE)]
    kept, at = [], 1
    for item in items:
        here = range(at, at + item.count("\n"))
        at = here.stop
        kept += [item] if not any(line in here for line in lines) else []
    assert len(kept) < len(items)
    routes.write_text("".join(kept), "utf-8")
    done = command.run("check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert command.run("test", cwd=tmp_path).returncode == 0
    with GatewayProcess(tmp_path, options=("--env-file", ".env")) as gateway:
        assert gateway.api("/readyz")[0] == 200
