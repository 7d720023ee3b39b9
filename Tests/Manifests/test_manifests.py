"""What is applied to a cluster: the chart, the manifests that are made of it, and the examples."""

import json
import re
import subprocess

import pytest
import yaml
from conftest import CHART, DAEMONSET, PROFILES, ROOT, containers, objects, only, pod_specs

EXAMPLES = sorted((DAEMONSET / "examples").glob("*.yaml"))
# Since 1.30 a pod has a field for AppArmor; before, annotations.
VERSIONS, VERSIONS_WITH_ANNOTATIONS = ["1.30", "1.33", "1.37"], ["1.25", "1.29"]
HOST_PATHS = {"/run/squall", "/run/squalld", "/var/lib/squall", "/sys/fs/cgroup", "/run/containerd"}
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "sjIcY8sX18ODxCuH2yMoe9LI4BAC_7YNuDDHNvahn_Q", "kid": "1"}
EVERYTHING = [
    "--set", "tls.enabled=true,tls.hostPort=9443,metrics.podMonitor.enabled=true",
    "--set", "image.registry=registry.internal.example:5000/mirror,imagePullSecrets[0].name=registry-credentials",
    "--set", "limits.maxSessions=10,limits.maxMemory=1073741824,seLinuxOptions.type=spc_t,bindAddress=[::]",
    "--set", "openshift.securityContextConstraints=true,apiServer=10.96.0.1",
    "--set", "exclude={10.0.0.0/8,fd00::/8},extraArgs={--gateway-user=65000},log.format=text",
    "--set-json", f"tenants.publicKeys={json.dumps({'shop': {'keys': [KEY]}})}",
]  # fmt: skip


def committed(profile):
    return objects((DAEMONSET / profile / "squall.yaml").read_text())


def agent(objects):
    return only(objects, "DaemonSet")["spec"]["template"]["spec"]


def listed_capabilities():
    lines = (DAEMONSET / "capabilities").read_text().splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def policy(objects):
    return only(objects, "ConfigMap", "squall-policy")["data"]["policy.yaml"]


# MARK: The chart


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_the_chart_lints(tools, profile):
    values = ["--values", CHART / f"values-{profile}.yaml"] if profile else []
    done = subprocess.run([tools / "helm", "lint", "--strict", CHART, *values], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_is_of_the_agents_version():
    (version,) = re.findall(r'"(.*)"', (ROOT / "Sources/Agent/AgentAPI/Version.swift").read_text())
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version


@pytest.mark.parametrize(
    ("options", "at"),
    [
        (["--set", "imageRegistry=registry.example.com"], "imageRegistry"),
        (["--set", "image.registry="], "/image/registry"),
        (["--set", "image.registry=https://registry.example.com"], "/image/registry"),
        (["--set", "image.digest=latest"], "/image/digest"),
        (["--set", "image.pullPolicy=Sometimes"], "/image/pullPolicy"),
        (["--set", "imagePullSecrets[0]=registry"], "/imagePullSecrets"),
        (["--set", "capabilities={SYS_ADMIN,SYS_MODULE}"], "/capabilities"),
        (["--set", "capabilities={NET_ADMIN,FOWNER}"], "/capabilities"),
        (["--set", "privileged=true"], "privileged"),
        (["--set", "runtime.socket=containerd.sock"], "/runtime/socket"),
        (["--set", "runtime.socket=/run/dockershim.sock"], "runtime.socket"),
        (["--set", "tls.port=443"], "/tls/port"),
        (["--set", "exclude={everything}"], "/exclude"),
        (["--set", "apiServer=kubernetes.default"], "/apiServer"),
        (["--set", "limits.maxSessions=0"], "/limits/maxSessions"),
        (["--set", "appArmor.type=Localhost"], "/appArmor/localhostProfile"),
        (["--set", "priorityClass.value=2000001000"], "/priorityClass/value"),
        (["--set", "terminationGracePeriodSeconds=0"], "/terminationGracePeriodSeconds"),
        (["--set", "updateStrategy.rollingUpdate.maxSurge=1"], "/updateStrategy/rollingUpdate"),
        (["--set", "networkPolicy.clientNamespaceLabels=null"], "/networkPolicy"),
        (["--set-json", f"tenants.publicKeys={json.dumps({'shop': {'keys': [KEY | {'d': 'secret'}]}})}"], "/tenants"),
        (["--set", "policy.version=2"], "/policy/version"),
        (["--set", "policy.tenants.shop.namespaces={shop}"], "/policy/tenants/shop"),
        (["--set", "policy.tenants.shop.faults={cpu-stress},policy.tenants.shop.sesions=1"], "/policy/tenants/shop"),
        (["--set-json", 'policy.tenants.shop={"faults": ["*"], "intensity": {"cpu-stress": {"load": 200}}}'], "load"),
        (["--set", "policy.guardrails.optIn=no"], "/policy/guardrails/optIn"),
    ],
)
def test_wrong_values_are_refused(helm, options, at):
    assert at in helm(*options, fails=True)


def test_manifests_and_schema_are_current(tools):
    done = subprocess.run([ROOT / "scripts/generate-manifests", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_value_that_is_told_reaches_the_agent(helm):
    pod = agent(helm(*EVERYTHING))
    (container,) = pod["containers"]
    assert container["args"] == [
        "--node-name=$(NODE_NAME)",
        "--namespace=$(POD_NAMESPACE)",
        "--policy=/etc/squall/policy/policy.yaml",
        "--tenants-directory=/etc/squall/tenants",
        "--runtime-socket=/run/containerd/containerd.sock",
        "--probe-bind-address=[::]:9464",
        "--log-format=text",
        "--tls-bind-address=[::]:9443",
        "--api-server=10.96.0.1",
        "--exclude=10.0.0.0/8",
        "--exclude=fd00::/8",
        "--max-memory=1073741824",
        "--max-sessions=10",
        "--gateway-user=65000",
    ]
    assert {"name": "tls", "containerPort": 9443, "hostPort": 9443} in container["ports"]
    assert container["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    (tls,) = [volume for volume in pod["volumes"] if volume["name"] == "tls"]
    assert tls["secret"] == {"secretName": "squall-tls", "defaultMode": 0o400}


def test_squalld_knows_the_options(helm, programs):
    (container,) = agent(helm(*EVERYTHING))["containers"]
    told = [argument.replace("$(POD_NAMESPACE)", "squall-system") for argument in container["args"]]
    # With a help that nobody reads: what is unknown or cannot be is said before.
    done = subprocess.run([programs / "squalld", *told, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    known = subprocess.run([programs / "squalld", "--help"], capture_output=True, text=True)
    for argument in told:
        assert f"{argument.split('=')[0]} " in known.stdout + known.stderr, argument


def test_limits_have_names_that_squalld_knows(helm, programs):
    schema = json.loads((CHART / "values.schema.json").read_text())
    names = list(schema["properties"]["limits"]["properties"])
    (container,) = agent(helm(*(word for name in names for word in ("--set", f"limits.{name}=7"))))["containers"]
    told = [argument for argument in container["args"] if argument.endswith("=7")]
    assert len(told) == len(names)
    help = subprocess.run([programs / "squalld", "--help"], capture_output=True, text=True)
    for argument in told:
        assert f" {argument.removesuffix('=7')} " in help.stdout + help.stderr


def test_keys_are_files_as_the_agent_reads_them(helm):
    data = only(helm(*EVERYTHING), "ConfigMap", "squall-tenants")["data"]
    assert {name: json.loads(text) for name, text in data.items()} == {"shop.jwks.json": {"keys": [KEY]}}
    rendered = helm("--set", "tenants.existingConfigMap=keys")
    (tenants,) = [volume for volume in agent(rendered)["volumes"] if volume["name"] == "tenants"]
    assert tenants["configMap"] == {"name": "keys"}
    assert [each["metadata"]["name"] for each in rendered if each["kind"] == "ConfigMap"] == ["squall-policy"]


def test_another_runtimes_folder_is_mounted(helm):
    (container,) = agent(helm("--set", "runtime.socket=/run/k3s/containerd/containerd.sock"))["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "runtime"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/k3s/containerd", True)


def test_app_armor_by_annotation_or_by_field(helm):
    def both(*options):
        template = only(helm(*options), "DaemonSet")["spec"]["template"]
        annotation = template["metadata"]["annotations"].get("container.apparmor.security.beta.kubernetes.io/squall")
        return annotation, template["spec"]["containers"][0]["securityContext"].get("appArmorProfile")

    local = ["--set", "appArmor.type=Localhost,appArmor.localhostProfile=squall"]
    annotation = ["--set", "appArmor.annotation=true"]
    assert both() == (None, {"type": "Unconfined"})
    assert both(*local) == (None, {"type": "Localhost", "localhostProfile": "squall"})
    assert both(*annotation) == ("unconfined", None)
    assert both(*annotation, *local) == ("localhost/squall", None)


@pytest.mark.parametrize("options", [[], ["--set", "image.tag=test"], ["--set", f"image.digest=sha256:{'0' * 64}"]])
def test_one_setting_moves_every_image_to_another_registry(helm, options):
    mirror = ["--set", "image.registry=registry.internal.example:5000/mirror,imagePullSecrets[0].name=credentials"]
    pods = list(pod_specs(helm(*EVERYTHING, *mirror, *options)))
    images = [container["image"] for pod in pods for container in containers(pod)]
    assert images and all(image.startswith("registry.internal.example:5000/mirror/squall") for image in images), images
    assert all(pod["imagePullSecrets"] == [{"name": "credentials"}] for pod in pods)


def test_two_releases_share_nothing_but_what_the_node_has(tools):
    command = [tools / "helm", "template", "chaos", CHART, "--namespace", "chaos-system", *EVERYTHING]
    rendered = objects(subprocess.check_output(command, text=True))
    assert {each["metadata"]["name"] for each in rendered} == {"chaos-squall", "chaos-squall-policy", "chaos-squall-tenants"}
    assert {each["metadata"].get("namespace", "chaos-system") for each in rendered} == {"chaos-system"}
    assert only(rendered, "SecurityContextConstraints")["users"] == ["system:serviceaccount:chaos-system:chaos-squall"]


# MARK: What Kubernetes says to them


def validate(tools, file, *versions):
    for version in versions:
        command = [tools / "kubernetes-validate", "--strict", "--kubernetes-version", version, file]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{file}, {version}: {done.stdout}{done.stderr}"


def write(folder, objects):
    """Without those that only some clusters know."""
    file = folder / "objects.yaml"
    own = [each for each in objects if each["kind"] not in ("PodMonitor", "SecurityContextConstraints")]
    file.write_text(yaml.safe_dump_all(own))
    return file


@pytest.mark.parametrize("profile", PROFILES)
def test_the_manifests_are_what_kubernetes_knows(tools, profile, tmp_path):
    built = subprocess.check_output([tools / "kubectl", "kustomize", DAEMONSET / profile], text=True)
    assert {each["kind"] for each in objects(built)} == {
        "ConfigMap", "DaemonSet", "Namespace", "NetworkPolicy", "PriorityClass", "ServiceAccount",
    }  # fmt: skip
    file = tmp_path / "built.yaml"
    file.write_text(built)
    validate(tools, file, *VERSIONS)


def test_every_value_gives_what_kubernetes_knows(tools, helm, tmp_path):
    validate(tools, write(tmp_path, helm(*EVERYTHING)), *VERSIONS)
    annotated = helm(*EVERYTHING, "--set", "appArmor.annotation=true")
    validate(tools, write(tmp_path, annotated), *VERSIONS_WITH_ANNOTATIONS)


def test_what_kubernetes_does_not_know_would_be_found(tools, helm, tmp_path):
    rendered = helm()
    agent(rendered)["hostPid"] = True
    with pytest.raises(AssertionError, match="hostPid"):
        validate(tools, write(tmp_path, rendered), VERSIONS[-1])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_what_kubernetes_knows(tools, example, tmp_path):
    found = objects(example.read_text())
    for each in found:
        # Which the API server would make, and the tool misses.
        each["metadata"].setdefault("name", "made")
    validate(tools, write(tmp_path, found), *VERSIONS)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_kustomize_builds_is_what_helm_renders(tools, profile):
    built = objects(subprocess.check_output([tools / "kubectl", "kustomize", DAEMONSET / profile], text=True))
    namespace = only(built, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert all(each["metadata"].get("namespace", "squall-system") == "squall-system" for each in built)
    built.remove(namespace)
    by_name = lambda each: (each["kind"], each["metadata"]["name"])  # noqa: E731
    assert sorted(built, key=by_name) == sorted(committed(profile), key=by_name)


# MARK: What the agent is given


@pytest.mark.parametrize("profile", PROFILES)
def test_the_container_is_given_no_more_than_it_says(profile):
    pod = agent(committed(profile))
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["privileged"] is False and security["readOnlyRootFilesystem"] is True
    assert security["capabilities"]["drop"] == ["ALL"]
    assert set(security["capabilities"]["add"]) <= set(listed_capabilities())
    # Which Kubernetes may refuse beside CAP_SYS_ADMIN.
    assert "allowPrivilegeEscalation" not in security
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["hostPID"], pod["hostNetwork"], pod.get("hostIPC", False)) == (True, False, False)
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert "cpu" not in container["resources"]["limits"] and "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_folders_of_the_node_are_these(profile):
    pod = agent(committed(profile))
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {volume["hostPath"]["path"] for volume in volumes.values() if "hostPath" in volume} == HOST_PATHS
    assert all({"hostPath", "configMap", "secret"} & volume.keys() for volume in volumes.values())
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} == {"run", "private", "state", "cgroups"}
    # A mount of one file would stay what it was when the container was made.
    assert not any("subPath" in mount for mount in mounts.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_stands_for_a_user_of_the_cluster(profile):
    rendered = committed(profile)
    assert only(rendered, "ServiceAccount")["automountServiceAccountToken"] is False
    assert not [each["kind"] for each in rendered if "Role" in each["kind"]]
    rules = only(rendered, "NetworkPolicy")["spec"]
    assert rules["egress"] == [] and set(rules["policyTypes"]) == {"Ingress", "Egress"}
    assert [port["port"] for rule in rules["ingress"] for port in rule["ports"]] == ["probes"]


def test_the_tls_port_is_open_to_labelled_namespaces_only(helm):
    rules = only(helm("--set", "tls.enabled=true"), "NetworkPolicy")["spec"]["ingress"]
    (tls,) = [rule for rule in rules if rule["ports"] == [{"port": "tls"}]]
    assert tls["from"] == [{"namespaceSelector": {"matchLabels": {"squall.dev/clients": "allowed"}}}]


@pytest.mark.parametrize("profile", PROFILES)
def test_probes_ask_what_does_not_end_a_halted_agent(profile):
    (container,) = agent(committed(profile))["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert container["readinessProbe"]["timeoutSeconds"] >= 5


def test_staging_is_given_every_capability():
    (container,) = agent(committed("staging"))["containers"]
    assert container["securityContext"]["capabilities"]["add"] == listed_capabilities()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_container_is_given_what_its_policy_needs(profile, programs, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(policy(committed(profile)))
    done = subprocess.run([programs / "squalld", "capabilities", "--policy", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    needed = {each["name"].removeprefix("cap_").upper() for each in json.loads(done.stdout)}
    (container,) = agent(committed(profile))["containers"]
    assert set(container["securityContext"]["capabilities"]["add"]) == needed


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_the_agent_takes_the_policy(helm, profile, programs, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(policy(helm(profile=profile)))
    done = subprocess.run([programs / "squall", "policy", "check", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# MARK: The examples


def test_experiments_have_no_rights():
    pods = [pod for file in EXAMPLES for pod in pod_specs(objects(file.read_text())) if "securityContext" in pod]
    assert len(pods) == 2
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        # The gateway's number, 65532, would be another's, too.
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        paths = [volume["hostPath"] for volume in pod["volumes"] if "hostPath" in volume]
        assert paths == [{"path": "/run/squall", "type": "Directory"}]
        for container in containers(pod):
            security = container["securityContext"]
            assert security == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
            }  # fmt: skip
            assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_experiments_say_what_squall_understands(programs, tmp_path):
    key = subprocess.run([programs / "squall", "keygen", "--tenant", "shop", "--out", tmp_path], capture_output=True)
    assert key.returncode == 0
    for file in EXAMPLES:
        for pod in pod_specs(objects(file.read_text())):
            for container in containers(pod):
                if container.get("command") != ["/squall"]:
                    continue
                arguments = [
                    f"--key={tmp_path}/shop.key.jwk" if argument.startswith("--key=") else argument
                    for argument in container["args"]
                ]
                command = [programs / "squall", *arguments, "--node=node-1", f"--socket={tmp_path}/nobody"]
                done = subprocess.run(command, capture_output=True, text=True)
                # The agent cannot be reached: everything else was good.
                assert done.returncode == 4, done.stderr


def test_images_are_the_charts(helm):
    (container,) = agent(helm())["containers"]
    for file in EXAMPLES:
        images = [each["image"] for pod in pod_specs(objects(file.read_text())) for each in containers(pod)]
        assert all(image == container["image"] for image in images if "/squall:" in image)
    for profile in PROFILES:
        text = (DAEMONSET / profile / "kustomization.yaml").read_text()
        name, tag = re.findall(r"- name: (\S+)|newTag: (\S+)", text)
        assert f"{name[0]}:{tag[1]}" == container["image"]
