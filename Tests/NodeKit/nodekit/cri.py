"""Pods and containers through containerd's CRI v1, as kubelet makes them."""

import json
import sys
import time
import uuid
from dataclasses import dataclass

import grpc

sys.path.append("/usr/lib/squall-node")
import cri_pb2 as cri  # noqa: E402 (generated when the node was built)

SOCKET = "/run/containerd/containerd.sock"
BUSYBOX = "node.local/busybox:1"
# A shell that obeys SIGTERM, so that stopping a pod does not take its grace period; it starts no processes
# while it idles, so that two looks at the node see the same.
IDLE = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 86400 & wait; done"]

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = (
    cri.PROPAGATION_PRIVATE,
    cri.PROPAGATION_HOST_TO_CONTAINER,
    cri.PROPAGATION_BIDIRECTIONAL,
)


@dataclass
class Pod:
    id: str
    name: str
    namespace: str
    ip: str
    config: object
    """The sandbox's configuration, which CRI wants again with each container."""


@dataclass
class Container:
    id: str
    name: str
    pod: Pod
    pid: int
    log_path: str


def mount(host_path, container_path=None, readonly=False, propagation=PRIVATE):
    return cri.Mount(
        host_path=host_path,
        container_path=container_path or host_path,
        readonly=readonly,
        propagation=propagation,
    )


def resources(cpus=None, memory=None, cpu_shares=None, **others):
    """`cpus` as a number, `memory` in bytes; others as LinuxContainerResources names them."""
    if cpus is not None:
        others |= {"cpu_period": 100_000, "cpu_quota": int(cpus * 100_000)}
    if memory is not None:
        others["memory_limit_in_bytes"] = memory
    if cpu_shares is not None:
        others["cpu_shares"] = cpu_shares
    return cri.LinuxContainerResources(**others)


def _profile(name):
    if name in cri.SecurityProfile.ProfileType.keys():
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.ProfileType.Value(name))
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=name)


class Runtime:
    """A client of the container runtime on this node."""

    def __init__(self, socket=SOCKET):
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def call(self, method, within=60, **fields):
        """Any call of CRI's RuntimeService, by its name there."""
        request = getattr(cri, f"{method}Request")(**fields)
        response = getattr(cri, f"{method}Response")
        stub = self.channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(request, timeout=within)

    # Pods

    def pods(self, labels=None):
        return list(self.call("ListPodSandbox", filter=cri.PodSandboxFilter(label_selector=labels or {})).items)

    def create_pod(
        self,
        name,
        namespace="default",
        labels=None,
        annotations=None,
        host_pid=False,
        host_network=False,
        user_namespace=None,
        cgroup_parent=None,
        dns=None,
    ):
        """`user_namespace` is (first host id, count) to map container ids from 0, or None to share the node's; `dns`
        what is in its resolv.conf, as {"servers": [], "searches": [], "options": []}."""
        uid = str(uuid.uuid4())
        options = cri.NamespaceOption(
            pid=cri.NODE if host_pid else cri.CONTAINER,
            network=cri.NODE if host_network else cri.POD,
        )
        if user_namespace:
            first, count = user_namespace
            mapping = cri.IDMapping(host_id=first, container_id=0, length=count)
            options.userns_options.CopyFrom(cri.UserNamespace(mode=cri.POD, uids=[mapping], gids=[mapping]))
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=uid, namespace=namespace),
            hostname="" if host_network else name,
            log_directory=f"/var/log/pods/{namespace}_{name}_{uid}",
            labels={POD_NAME: name, POD_NAMESPACE: namespace, POD_UID: uid} | (labels or {}),
            annotations=annotations or {},
            dns_config=cri.DNSConfig(**dns) if dns else None,
            linux=cri.LinuxPodSandboxConfig(
                cgroup_parent=cgroup_parent or f"/kubepods/burstable/pod{uid}",
                security_context=cri.LinuxSandboxSecurityContext(
                    namespace_options=options,
                    seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
                ),
            ),
        )
        pod = Pod("", name, namespace, "", config)
        pod.id = self.call("RunPodSandbox", config=config).pod_sandbox_id
        pod.ip = self.call("PodSandboxStatus", pod_sandbox_id=pod.id).status.network.ip
        return pod

    def remove_pod(self, pod_id):
        self.call("StopPodSandbox", pod_sandbox_id=pod_id)
        self.call("RemovePodSandbox", pod_sandbox_id=pod_id)

    # Containers

    def containers(self, labels=None):
        return list(self.call("ListContainers", filter=cri.ContainerFilter(label_selector=labels or {})).containers)

    def create_container(
        self,
        pod,
        name="main",
        image=BUSYBOX,
        command=IDLE,
        args=(),
        env=None,
        limits=None,
        labels=None,
        annotations=None,
        mounts=(),
        drop_capabilities=(),
        add_capabilities=(),
        privileged=False,
        readonly_root=False,
        no_new_privileges=False,
        user=None,
        group=None,
        seccomp="RuntimeDefault",
        apparmor=None,
        attempt=0,
        start=True,
    ):
        """`seccomp` is RuntimeDefault, Unconfined, or the path of a profile on the node; `apparmor` the same, or the name
        of a profile that is loaded."""
        security = cri.LinuxContainerSecurityContext(
            capabilities=cri.Capability(add_capabilities=add_capabilities, drop_capabilities=drop_capabilities),
            privileged=privileged,
            readonly_rootfs=readonly_root,
            no_new_privs=no_new_privileges,
            namespace_options=pod.config.linux.security_context.namespace_options,
            seccomp=_profile(seccomp),
            apparmor=_profile(apparmor) if apparmor else None,
        )
        if user is not None:
            security.run_as_user.value = user
        if group is not None:
            security.run_as_group.value = group
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name, attempt=attempt),
            image=cri.ImageSpec(image=image),
            command=command,
            args=args,
            envs=[cri.KeyValue(key=key, value=value) for key, value in (env or {}).items()],
            mounts=mounts,
            labels={
                CONTAINER_NAME: name,
                POD_NAME: pod.name,
                POD_NAMESPACE: pod.namespace,
                POD_UID: pod.config.metadata.uid,
            }
            | (labels or {}),
            annotations=annotations or {},
            log_path=f"{name}/{attempt}.log",
            linux=cri.LinuxContainerConfig(resources=limits or resources(), security_context=security),
        )
        id = self.call(
            "CreateContainer", pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
        ).container_id
        container = Container(id, name, pod, 0, f"{pod.config.log_directory}/{config.log_path}")
        if start:
            self.call("StartContainer", container_id=id)
            container.pid = self.container_info(id)["pid"]
        return container

    def stop_container(self, id, grace=2):
        self.call("StopContainer", container_id=id, timeout=grace)

    def remove_container(self, id):
        self.call("RemoveContainer", container_id=id)

    def container_status(self, id):
        return self.call("ContainerStatus", container_id=id).status

    def container_info(self, id):
        """What containerd adds in its verbose status: `pid`, `runtimeSpec` and more."""
        return json.loads(self.call("ContainerStatus", container_id=id, verbose=True).info["info"])

    def wait_for_exit(self, id, timeout=30):
        deadline = time.monotonic() + timeout
        while (status := self.container_status(id)).state != cri.CONTAINER_EXITED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"container {id} still runs after {timeout} s")
            time.sleep(0.05)
        return status

    def execute(self, id, command, timeout=30):
        """Runs a command in a container. Returns its status, output and errors."""
        answer = self.call("ExecSync", within=timeout + 10, container_id=id, cmd=command, timeout=timeout)
        return answer.exit_code, answer.stdout.decode(), answer.stderr.decode()
