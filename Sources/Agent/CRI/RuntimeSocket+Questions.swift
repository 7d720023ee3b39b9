internal import ChaosModel
internal import ContainerRuntimes
internal import FoundationEssentials
internal import NIOCore
internal import SwiftProtobuf

extension RuntimeSocket {
    func container(_ id: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeContainer {
        let response = try await status(of: id, isVerbose: true, before: deadline)
        let status = response.status
        if let state = stateWithoutProcess(status.state) { throw .notRunning(state) }
        let info = try VerboseInfo(response.info)
        guard let processID = info.pid, processID > 0, let sandboxID = info.sandboxID else {
            throw .refused(reason: "no process or no pod in the status of container \(id)")
        }
        return RuntimeContainer(
            id: id, name: status.metadata.name, processID: processID,
            cgroupsPath: info.runtimeSpec?.linux?.cgroupsPath, createdAt: status.createdAt,
            sandbox: try await sandbox(sandboxID, before: deadline))
    }

    /// All that it has are pods'.
    func container(
        named name: ContainerName, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> RuntimeContainer {
        throw .notFound
    }

    func stop(
        _ id: String, graceSeconds: Int64, asking: NIODeadline, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Int32? {
        // To a runtime what it does not know is stopped.
        let before = try await status(of: id, isVerbose: false, before: asking).status
        if let state = stateWithoutProcess(before.state) { throw .notRunning(state) }
        let request = Runtime_V1_StopContainerRequest.with {
            $0.containerID = id
            $0.timeout = graceSeconds
        }
        do throws(RuntimeFailure) {
            _ = try await call(
                "StopContainer", request, returning: Runtime_V1_StopContainerResponse.self, before: deadline)
            let after = try await status(of: id, isVerbose: false, before: deadline).status
            guard after.state == .containerExited else { throw .refused(reason: "the container runs on") }
            return after.exitCode
        } catch {
            // It has ended and was removed at once.
            if error == .notFound { return nil }
            throw .unconfirmed(reason: error.reason)
        }
    }

    private func status(
        of id: String, isVerbose: Bool, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Runtime_V1_ContainerStatusResponse {
        let request = Runtime_V1_ContainerStatusRequest.with {
            $0.containerID = id
            $0.verbose = isVerbose
        }
        let response = try await call(
            "ContainerStatus", request, returning: Runtime_V1_ContainerStatusResponse.self, before: deadline)
        // Runtimes take the beginning of an identifier for the whole.
        guard response.status.id == id else { throw .notFound }
        return response
    }

    func pods(before deadline: NIODeadline) async throws(RuntimeFailure) -> [RuntimePod] {
        let running = Runtime_V1_ListContainersRequest.with { $0.filter.state.state = .containerRunning }
        let containers = Dictionary(
            grouping: try await containers(running, before: deadline), by: \.podSandboxID)
        return try await sandboxes(Runtime_V1_ListPodSandboxRequest(), before: deadline).map { sandbox in
            RuntimePod(sandbox, with: containers[sandbox.id, default: []])
        }
    }

    func pods(
        matching selector: PodSelector, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [RuntimePod] {
        // The runtime chooses, so that it tells no more than is wanted: kubelet gives every sandbox these labels.
        let request = Runtime_V1_ListPodSandboxRequest.with {
            $0.filter.state.state = .sandboxReady
            $0.filter.labelSelector = selector.labels
            $0.filter.labelSelector["io.kubernetes.pod.namespace"] = selector.namespace
            if let name = selector.name { $0.filter.labelSelector["io.kubernetes.pod.name"] = name }
            if let uid = selector.uid { $0.filter.labelSelector["io.kubernetes.pod.uid"] = uid }
        }
        let sandboxes = try await sandboxes(request, before: deadline).filter { sandbox in
            let pod = sandbox.metadata
            return sandbox.state == .sandboxReady
                && selector.matches(namespace: pod.namespace, name: pod.name, uid: pod.uid, labels: sandbox.labels)
        }
        guard let one = sandboxes.first else { return [] }
        // Of a single one no more is asked for than is wanted.
        let wanted = Runtime_V1_ListContainersRequest.with {
            if sandboxes.count == 1 { $0.filter.podSandboxID = one.id }
        }
        let containers = Dictionary(
            grouping: try await containers(wanted, before: deadline), by: \.podSandboxID)
        return sandboxes.map { RuntimePod($0, with: containers[$0.id, default: []]) }
    }

    private func sandboxes(
        _ request: Runtime_V1_ListPodSandboxRequest, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [Runtime_V1_PodSandbox] {
        try await call(
            "ListPodSandbox", request, returning: Runtime_V1_ListPodSandboxResponse.self, before: deadline
        ).items
    }

    private func containers(
        _ request: Runtime_V1_ListContainersRequest, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [Runtime_V1_Container] {
        try await call(
            "ListContainers", request, returning: Runtime_V1_ListContainersResponse.self, before: deadline
        ).containers
    }

    func version(before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeStatus.Availability {
        let response = try await call(
            "Version", Runtime_V1_VersionRequest(), returning: Runtime_V1_VersionResponse.self, before: deadline)
        return .available(runtime: response.runtimeName, version: response.runtimeVersion)
    }

    private func sandbox(_ id: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeSandbox {
        let request = Runtime_V1_PodSandboxStatusRequest.with {
            $0.podSandboxID = id
            $0.verbose = true
        }
        let response = try await call(
            "PodSandboxStatus", request, returning: Runtime_V1_PodSandboxStatusResponse.self, before: deadline)
        let status = response.status
        guard !status.metadata.namespace.isEmpty else {
            throw .refused(reason: "no namespace in the status of pod \(id)")
        }
        let processID = try VerboseInfo(response.info).pid ?? 0
        return RuntimeSandbox(
            id: id, processID: processID > 0 ? processID : nil, podName: status.metadata.name,
            podNamespace: status.metadata.namespace, podUID: status.metadata.uid, labels: status.labels,
            annotations: status.annotations, usesHostNetwork: status.linux.namespaces.options.network == .node)
    }
}

private func stateWithoutProcess(_ state: Runtime_V1_ContainerState) -> RuntimeContainerState? {
    switch state {
    case .containerRunning: nil
    case .containerCreated: .created
    case .containerExited: .exited
    case .containerUnknown, .UNRECOGNIZED: .unknown
    }
}

/// What containerd and CRI-O both put into the member `info` of a verbose status, among much else.
/// Not read by `JSON`, which refuses the 2^64 - 1 that limits of the runtime's specification hold.
struct VerboseInfo: Decodable {
    struct RuntimeSpecification: Decodable {
        struct Linux: Decodable {
            let cgroupsPath: String?
        }
        let linux: Linux?
    }
    let pid: Int32?
    let sandboxID: String?
    let runtimeSpec: RuntimeSpecification?

    init(_ info: [String: String]) throws(RuntimeFailure) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data((info["info"] ?? "{}").utf8))
        } catch {
            throw .refused(reason: "verbose status: \(error)")
        }
    }
}

extension RuntimePod {
    fileprivate init(_ sandbox: Runtime_V1_PodSandbox, with containers: [Runtime_V1_Container]) {
        self.init(
            uid: sandbox.metadata.uid,
            containers: containers.map {
                Container(id: $0.id, name: $0.metadata.name, isRunning: $0.state == .containerRunning)
            })
    }
}
