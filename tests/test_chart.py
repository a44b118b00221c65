"""What the Helm chart renders fits together, and runs the gateway with the rights and limits of the plain manifests."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from gateway.cli import cli
from gateway.config import load
from tests.needs import needs
from tests.test_deploy import POD, SIDECAR

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "chart"
#: Helm's library is 75 MB, so it has an environment of its own.
HELM = ROOT / ".venv-chart" / "bin" / "python"
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*.yaml"))}


@pytest.fixture(scope="module")
def rendered():
    """The manifests of a file of values, by kind; of several of a kind, by its name too."""
    needs(str(HELM), is_there=HELM.exists(), package="nothing, but run: make chart")
    found = {}
    for name, file in CASES.items():
        command = [str(HELM), str(ROOT / "deploy" / "chart.py"), "--render", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={})
        assert done.returncode == 0, done.stderr
        found[name] = [each for each in yaml.safe_load_all(done.stdout) if each]
    return found


@pytest.fixture(params=CASES)
def manifests(rendered, request):
    return rendered[request.param]


def of_kind(manifests: list[dict], *kinds: str) -> list[dict]:
    return [each for each in manifests if each["kind"] in kinds]


def workload(manifests: list[dict]) -> dict:
    [found] = of_kind(manifests, "StatefulSet", "Deployment")
    return found["spec"]


def selects(selector: dict, labels: dict) -> bool:
    return selector.items() <= labels.items()


def containers(manifests: list[dict]) -> list[dict]:
    pods = [workload(manifests)["template"]["spec"], *(each["spec"] for each in of_kind(manifests, "Pod"))]
    return [each for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])]


def test_a_file_on_a_volume_has_one_pod_and_a_database_has_replicas(rendered):
    sqlite, database = rendered["sqlite"], rendered["postgresql"]
    assert workload(sqlite)["replicas"] == 1
    [claim] = workload(sqlite)["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert of_kind(sqlite, "HorizontalPodAutoscaler", "PodDisruptionBudget") == []
    assert workload(database)["replicas"] == 3
    assert workload(database)["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert [each["args"] for each in workload(database)["template"]["spec"]["initContainers"]] == [["migrate"]]


def test_replicas_that_are_scaled_are_not_set_by_the_chart_as_well(rendered):
    [scaler] = of_kind(rendered["everything"], "HorizontalPodAutoscaler")
    [scaled] = of_kind(rendered["everything"], "Deployment")
    assert "replicas" not in scaled["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == scaled["metadata"]["name"]


def test_every_container_has_every_right_taken_away(manifests):
    for container in containers(manifests):
        assert container["securityContext"] == SIDECAR["securityContext"]
        writable = [each["mountPath"] for each in container.get("volumeMounts", ()) if not each.get("readOnly")]
        assert writable in ([], ["/var/lib/gateway"])
    for pod in (workload(manifests)["template"]["spec"], *(each["spec"] for each in of_kind(manifests, "Pod"))):
        assert pod["automountServiceAccountToken"] is False


def test_the_gateway_has_the_probes_limits_and_waits_of_the_plain_manifests(manifests):
    pod = workload(manifests)["template"]["spec"]
    [container] = pod["containers"]
    for key in ("startupProbe", "readinessProbe", "livenessProbe", "resources", "ports"):
        assert container[key] == SIDECAR[key], key
    assert pod["securityContext"] == POD["securityContext"]
    assert pod["terminationGracePeriodSeconds"] == POD["terminationGracePeriodSeconds"]


def test_the_command_is_of_this_command_line_and_every_variable_is_read(manifests):
    [container] = workload(manifests)["template"]["spec"]["containers"]
    name, *arguments = container["args"]
    context = cli.commands[name].make_context(name, list(arguments))
    assert str(context.params["config"]) == "/etc/gateway/routes.yaml"
    known = set(
        re.findall(r"GATEWAY_[A-Z_]+", "\n".join(each.read_text() for each in (ROOT / "gateway").rglob("*.py")))
    )
    names = {each["name"] for each in container["env"]}
    assert {each for each in names if each.startswith("GATEWAY_")} <= known
    assert "GATEWAY_STORE" in names


def test_prometheus_and_people_are_hosts_that_the_admin_listener_answers_to(manifests):
    [container] = workload(manifests)["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    admin = next(each for each in of_kind(manifests, "Service") if each["metadata"]["name"].endswith("-admin"))
    hosts = environment["GATEWAY_ADMIN_HOSTS"].split()
    assert {"$(POD_IP)", admin["metadata"]["name"], f"{admin['metadata']['name']}.hooks.svc"} <= set(hosts)
    order = list(environment)
    assert order.index("POD_IP") < order.index("GATEWAY_ADMIN_HOSTS"), "Kubernetes puts in only what was before"


def test_every_selector_is_about_the_pods_of_the_gateway_and_no_others(manifests):
    labels = workload(manifests)["template"]["metadata"]["labels"]
    others = [each["metadata"]["labels"] for each in of_kind(manifests, "Pod")]
    selectors = [workload(manifests)["selector"]["matchLabels"]]
    selectors += [each["spec"]["selector"] for each in of_kind(manifests, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(manifests, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(manifests, "NetworkPolicy")]
    for selector in selectors:
        assert selects(selector, labels)
        assert not any(selects(selector, each) for each in others)


def test_every_port_that_is_named_is_one_of_the_container(manifests):
    [container] = workload(manifests)["template"]["spec"]["containers"]
    ports = {each["name"] for each in container["ports"]}
    named = {each["targetPort"] for service in of_kind(manifests, "Service") for each in service["spec"]["ports"]}
    for policy in of_kind(manifests, "NetworkPolicy"):
        named |= {each["port"] for rule in policy["spec"]["ingress"] for each in rule["ports"]}
    assert named <= ports


def test_only_the_admin_service_is_scraped_and_only_ingest_is_on_the_internet(rendered):
    manifests = rendered["everything"]
    [monitor], [ingress] = of_kind(manifests, "ServiceMonitor"), of_kind(manifests, "Ingress")
    scraped = [
        each["metadata"]["name"]
        for each in of_kind(manifests, "Service")
        if selects(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
    ]
    assert len(scraped) == 1
    assert scraped[0].endswith("-admin")
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["path"] == "/in/"
    assert path["backend"]["service"]["name"] not in scraped
    assert {each["spec"]["type"] for each in of_kind(manifests, "Service") if each["metadata"]["name"] in scraped} == {
        "ClusterIP"
    }


def test_templates_are_mounted_under_their_paths(rendered):
    [config] = of_kind(rendered["everything"], "ConfigMap")
    volumes = workload(rendered["everything"])["template"]["spec"]["volumes"]
    [items] = [each["configMap"]["items"] for each in volumes if each["name"] == "config"]
    paths = {each["path"]: config["data"][each["key"]] for each in items}
    given = yaml.safe_load(CASES["everything"].read_text("utf-8"))["templates"]
    assert {path: paths[f"templates/{path}"] for path in given} == given
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", each["key"]) for each in items)


def test_a_secret_of_ones_own_is_used_and_none_is_made(rendered):
    assert of_kind(rendered["postgresql"], "Secret") == []
    [container] = workload(rendered["postgresql"])["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "gateway"}}]


def test_the_example_in_the_values_is_a_file_that_loads(tmp_path):
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    (tmp_path / "routes.yaml").write_text(values["routes"], "utf-8")
    assert load(tmp_path / "routes.yaml", environ={"EXAMPLE_SECRET": "secret-of-the-example-0123"}).warnings == ()
