"""The agent's pod as its DaemonSet describes it, in CRI's words: what kubelet would make of the manifest."""

import os
import re

import yaml

from . import cri

PROPAGATION = {
    "None": cri.PRIVATE,
    "HostToContainer": cri.HOST_TO_CONTAINER,
    "Bidirectional": cri.BIDIRECTIONAL,
}
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class Manifest:
    """Of the one DaemonSet in a file; it has one container."""

    def __init__(self, path):
        with open(path) as file:
            objects = [each for each in yaml.safe_load_all(file) if each]
        (daemon_set,) = [each for each in objects if each["kind"] == "DaemonSet"]
        self.name, self.namespace = daemon_set["metadata"]["name"], daemon_set["metadata"]["namespace"]
        template = daemon_set["spec"]["template"]
        self._metadata, self._pod = template["metadata"], template["spec"]
        (self._container,) = self._pod["containers"]
        # What the container says counts before what the pod says.
        self._security = self._pod.get("securityContext", {}) | self._container["securityContext"]

    @property
    def capabilities(self):
        return self._security["capabilities"]["add"]

    @property
    def grace(self):
        """Seconds from SIGTERM to SIGKILL."""
        return self._pod["terminationGracePeriodSeconds"]

    def pod_options(self):
        """For `cri.Runtime.create_pod`."""
        return {
            "namespace": self.namespace,
            "labels": self._metadata["labels"],
            "annotations": self._metadata.get("annotations"),
            "host_pid": self._pod.get("hostPID", False),
            "host_network": self._pod.get("hostNetwork", False),
        }

    def container_options(self, node_name):
        """For `cri.Runtime.create_container`, but for the image. Makes the folders that kubelet would make.

        What is in a ConfigMap's or a Secret's volume is taken from the node's folder of the same path.
        """
        environment = self._environment(node_name)
        capabilities = self._security["capabilities"]
        return {
            "name": self._container["name"],
            "command": self._expanded("command", environment),
            "args": self._expanded("args", environment),
            "env": environment,
            "limits": self._limits(),
            "mounts": [self._mount(each) for each in self._container["volumeMounts"]],
            "drop_capabilities": capabilities["drop"],
            "add_capabilities": capabilities["add"],
            "privileged": self._security.get("privileged", False),
            "readonly_root": self._security.get("readOnlyRootFilesystem", False),
            "no_new_privileges": self._security.get("allowPrivilegeEscalation") is False,
            "user": self._security.get("runAsUser"),
            "group": self._security.get("runAsGroup"),
            "seccomp": _profile(self._security.get("seccompProfile")) or "Unconfined",
            # Without one the runtime has its own way.
            "apparmor": _profile(self._security.get("appArmorProfile")),
        }

    def _environment(self, node_name):
        told = {"spec.nodeName": node_name, "metadata.namespace": self.namespace, "metadata.name": self.name}
        return {
            each["name"]: each["value"] if "value" in each else told[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in self._container.get("env", [])
        }

    def _expanded(self, field, environment):
        def value(match):
            # $$ stands for one $, and a name that is not known for itself.
            return "$" if match[0] == "$$" else environment.get(match[1], match[0])

        return [re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)", value, word) for word in self._container.get(field, [])]

    def _limits(self):
        resources = self._container.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        options = {}
        if "memory" in limits:
            options["memory"] = int(_quantity(limits["memory"]))
        if "cpu" in limits:
            options["cpus"] = _quantity(limits["cpu"])
        if "cpu" in requests:
            options["cpu_shares"] = max(2, int(_quantity(requests["cpu"]) * 1024))
        return cri.resources(**options)

    def _mount(self, mount):
        (volume,) = [each for each in self._pod["volumes"] if each["name"] == mount["name"]]
        target = mount["mountPath"]
        if "hostPath" not in volume:
            assert {"configMap", "secret"} & volume.keys(), volume
            os.makedirs(target, exist_ok=True)
            return cri.mount(target, readonly=True)
        source, type = volume["hostPath"]["path"], volume["hostPath"].get("type", "")
        if type == "DirectoryOrCreate":
            os.makedirs(source, exist_ok=True)
        elif type == "Directory":
            assert os.path.isdir(source), f"{source} is no directory of this node"
        else:
            raise NotImplementedError(f"hostPath of type {type!r}")
        propagation = PROPAGATION[mount.get("mountPropagation", "None")]
        return cri.mount(source, target, readonly=mount.get("readOnly", False), propagation=propagation)


def _profile(profile):
    """As `cri.Runtime.create_container` names it; None where none is told."""
    if profile is None:
        return None
    return profile["localhostProfile"] if profile["type"] == "Localhost" else profile["type"]


def _quantity(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * UNITS[unit]
