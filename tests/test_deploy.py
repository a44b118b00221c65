"""What is in deploy/ runs the gateway with no more rights than it needs, and names only what there is."""

import inspect
import re
import shlex
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml

from gateway.cli import cli
from gateway.machine.memory import MIB, MOST_FOR_BODIES, body_budget, delivery_room
from gateway.server import serve
from gateway.web.auth import PROBES
from tests.needs import needs

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "gateway.service"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["gateway"]
STATEFUL = yaml.safe_load((DEPLOY / "sidecar.yaml").read_text("utf-8"))["spec"]
POD = STATEFUL["template"]["spec"]
[SIDECAR] = [each for each in POD["containers"] if each["name"] == "gateway"]
REPLICAS_COMPOSE = yaml.safe_load((DEPLOY / "compose-replicas.yaml").read_text("utf-8"))["services"]
DEPLOYMENT, _, BUDGET = yaml.safe_load_all((DEPLOY / "replicas.yaml").read_text("utf-8"))
REPLICAS_POD = DEPLOYMENT["spec"]["template"]["spec"]
[REPLICA] = REPLICAS_POD["containers"]
[MIGRATION] = REPLICAS_POD["initContainers"]
#: Containers of ours, by where they are.
COMPOSED = {
    "compose.yaml": COMPOSE,
    **{f"compose-replicas.yaml {name}": REPLICAS_COMPOSE[name] for name in ("gateway", "migrate")},
}
IN_PODS = {
    "sidecar.yaml": (SIDECAR, POD),
    "replicas.yaml": (REPLICA, REPLICAS_POD),
    "replicas.yaml migrate": (MIGRATION, REPLICAS_POD),
}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")

#: The gateway without any body, with a million deliveries waiting.
AT_REST = 200 * MIB
#: A body that arrives is held up to five times, one that is delivered twice; gateway.machine.memory.py.
COPIES_ARRIVING, COPIES_DELIVERED = 5, 2


def service() -> dict[str, str]:
    """The keys of the unit's [Service]; of one that is there twice, the last value."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(UNIT, "utf-8")
    return dict(parser["Service"])


def size(text: str) -> int:
    """Bytes of ``512M`` (systemd), ``512m`` (Docker) and ``512Mi`` (Kubernetes): all of them are MiB."""
    return int(re.fullmatch(r"(\d+)(?:m|M|Mi)", text)[1]) * MIB


def in_dockerfile(instruction: str) -> str:
    return re.search(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)[1]


COMMANDS = {
    "gateway.service": shlex.split(service()["ExecStart"])[1:],
    "Dockerfile": yaml.safe_load(in_dockerfile("CMD")),
    "sidecar.yaml": SIDECAR["args"],
    "compose-replicas.yaml": REPLICAS_COMPOSE["gateway"]["command"],
    "replicas.yaml": REPLICA["args"],
}
LIMITS = {
    "gateway.service": size(service()["MemoryMax"]),
    "compose.yaml": size(COMPOSE["mem_limit"]),
    "sidecar.yaml": size(SIDECAR["resources"]["limits"]["memory"]),
    "compose-replicas.yaml": size(REPLICAS_COMPOSE["gateway"]["mem_limit"]),
    "replicas.yaml": size(REPLICA["resources"]["limits"]["memory"]),
}


@pytest.mark.parametrize("file", LIMITS)
def test_the_memory_limit_fits_what_the_gateway_makes_of_it(file):
    limit = LIMITS[file]
    needed = AT_REST + COPIES_ARRIVING * body_budget(limit) + COPIES_DELIVERED * delivery_room(limit)
    assert body_budget(limit) == MOST_FOR_BODIES, "a smaller limit would refuse bodies earlier than necessary"
    assert needed <= limit, f"{needed / MIB:.0f} MiB are needed"


def test_nothing_of_a_process_is_swapped_or_dumped():
    assert service()["MemorySwapMax"] == "0"
    assert service()["LimitCORE"] == "0"
    for each in (COMPOSE, REPLICAS_COMPOSE["gateway"]):
        assert each["memswap_limit"] == each["mem_limit"]
        assert each["ulimits"]["core"] == 0


@pytest.mark.parametrize("file", COMMANDS)
def test_the_commands_are_of_this_command_line(file):
    name, *arguments = COMMANDS[file]
    context = cli.commands[name].make_context(name, list(arguments))
    assert str(context.params["config"]) == "/etc/gateway/routes.yaml"


def test_every_variable_of_the_gateway_is_one_that_it_reads():
    known = set(
        re.findall(r"GATEWAY_[A-Z_]+", "\n".join(each.read_text() for each in (ROOT / "gateway").rglob("*.py")))
    )
    files = {"gateway.service", "gateway.socket", "Dockerfile", *(each.name for each in DEPLOY.glob("*.yaml"))}
    for file in files:
        assert set(re.findall(r"GATEWAY_[A-Z_]+", (DEPLOY / file).read_text("utf-8"))) <= known, file


def test_compose_passes_the_variables_of_routes_yaml():
    used = set(re.findall(r"\$\{([A-Z_]+)\}", (ROOT / "routes.yaml").read_text("utf-8")))
    replicas = dict(REPLICAS_COMPOSE["gateway"]["environment"])
    assert replicas.pop("GATEWAY_STORE").startswith("postgresql://")
    for environment in (COMPOSE["environment"], replicas):
        assert set(environment) == used
        assert all(value.startswith(f"${{{name}:?") for name, value in environment.items())


def test_the_image_runs_as_a_user_by_number_and_everything_else_as_the_same():
    user, _, group = in_dockerfile("USER").partition(":")
    assert int(user) > 0
    assert f"useradd --system --uid {user} --gid {group}" in DOCKERFILE
    assert {each["user"] for each in COMPOSED.values()} == {f"{user}:{group}"}
    for container, pod in IN_PODS.values():
        security = container["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
        assert pod["securityContext"]["fsGroup"] == int(group), "else it cannot write to the volume"


def test_what_the_dockerfile_copies_is_what_is_sent_to_the_engine_and_nothing_else():
    sent = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        copied |= set(line.split())
    assert sent == copied
    assert all((ROOT / each).exists() for each in copied)
    assert "\n*\n" in (ROOT / ".dockerignore").read_text("utf-8"), "all else stays out: .env, stores, history"


def test_the_image_has_two_stages_of_one_base_and_no_tools_of_the_build():
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE}", "${BASE}"]
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert "pip" not in last
    assert re.findall(r"^COPY .*$", last, re.MULTILINE) == ["COPY --from=build /opt/gateway /opt/gateway"]


def test_a_digest_in_deploy_is_one_that_was_looked_up():
    """None was: the base is named by its tag, and a release looks its digest up."""
    for file in DEPLOY.rglob("*"):
        if file.is_file() and "ci" not in file.parts:
            assert not re.search(r"sha256:[0-9a-f]{64}", file.read_text("utf-8")) or file.suffix == ".lock", file


def test_the_image_is_healthy_while_the_admin_listener_says_that_it_is_ready():
    [address] = re.findall(r"http://127\.0\.0\.1:\d+/\w+", DOCKERFILE)
    [default] = [each.default for each in cli.commands["serve"].params if each.name == "admin_bind"]
    assert address == f"http://{default}/readyz"
    assert "HEALTHCHECK" in DOCKERFILE


@pytest.mark.parametrize("name", COMPOSED)
def test_compose_takes_every_right_away(name):
    service = COMPOSED[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged", False)
    # What is not named here is Docker's default profile of seccomp.
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    writable = [each for each in service.get("volumes", ()) if not each.endswith(":ro")]
    temporary = [each.partition(":")[0] for each in service.get("tmpfs", ())]
    assert [*writable, *temporary] in ([f"gateway:{in_dockerfile('VOLUME')}"], [in_dockerfile("VOLUME")])


@pytest.mark.parametrize("name", IN_PODS)
def test_a_container_in_a_pod_has_every_right_taken_away(name):
    container, pod = IN_PODS[name]
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["privileged"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
    assert writable == [in_dockerfile("VOLUME")]
    claimed = [each["metadata"]["name"] for each in STATEFUL["volumeClaimTemplates"]] if pod is POD else []
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted <= {*(each["name"] for each in pod["volumes"]), *claimed}


def test_replicas_are_replaced_one_after_the_other_and_the_schema_is_migrated_first():
    assert DEPLOYMENT["spec"]["replicas"] == REPLICAS_COMPOSE["gateway"]["deploy"]["replicas"] == 2
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert BUDGET["spec"]["minAvailable"] == 1
    assert MIGRATION["args"] == REPLICAS_COMPOSE["migrate"]["command"] == ["migrate"]
    assert REPLICAS_COMPOSE["gateway"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("container", [SIDECAR, REPLICA], ids=["sidecar", "replica"])
def test_a_container_in_a_pod_is_probed_on_the_admin_listener(container):
    command = cli.commands["serve"].make_context("serve", list(container["args"][1:]))
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert str(command.params["admin_bind"]).endswith(f":{ports['admin']}")
    assert str(command.params["bind"]).endswith(f":{ports['ingest']}")
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert all(each["port"] == "admin" and each["path"] in PROBES for each in probes.values())
    assert probes["readiness"]["path"] == "/readyz"
    assert probes["liveness"]["path"] == "/healthz", "a store that is full must not end the process"


def test_compose_asks_the_admin_listener_whether_it_is_ready():
    [address] = re.findall(r"http://127\.0\.0\.1:\d+/\w+", COMPOSE["healthcheck"]["test"][-1])
    [default] = [each.default for each in cli.commands["serve"].params if each.name == "admin_bind"]
    assert address == f"http://{default}/readyz"


def test_each_waits_until_the_deliveries_in_flight_are_done():
    waits = [
        int(service()["TimeoutStopSec"]),
        int(COMPOSE["stop_grace_period"].removesuffix("s")),
        POD["terminationGracePeriodSeconds"],
        int(REPLICAS_COMPOSE["gateway"]["stop_grace_period"].removesuffix("s")),
        REPLICAS_POD["terminationGracePeriodSeconds"],
    ]
    drain_s = inspect.signature(serve).parameters["drain_s"].default
    assert min(waits) > drain_s + 2, "open requests get 2 s more"


# systemd


def test_the_unit_is_exposed_below_two():
    needs("systemd-analyze", "systemd")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    [said] = re.findall(r"Overall exposure level for gateway\.service: ([0-9.]+)", done.stdout) or [done.stderr]
    assert float(said) < 2.0, "\n".join(line for line in done.stdout.splitlines() if line.startswith("✗"))


def test_systemd_understands_every_line_of_the_units(tmp_path):
    needs("systemd-analyze", "systemd")
    for unit in (UNIT, DEPLOY / "gateway.socket"):
        # The program is not installed here; what is asked is whether every key and value is one.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text("utf-8"), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line or "gateway" in line]
