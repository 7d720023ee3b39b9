internal import ChaosModel
internal import ContainerRuntimes
internal import FoundationEssentials

/// What is read of the answer to `GET /containers/NAME/json`.
struct DockerContainer: Decodable {
    struct State: Decodable {
        let running: Bool
        let processID: Int32

        enum CodingKeys: String, CodingKey {
            case running = "Running"
            case processID = "Pid"
        }
    }

    struct Configuration: Decodable {
        let labels: [String: String]?

        enum CodingKeys: String, CodingKey {
            case labels = "Labels"
        }
    }

    let id: String
    let name: String
    let state: State
    let configuration: Configuration?

    enum CodingKeys: String, CodingKey {
        case id = "Id"
        case name = "Name"
        case state = "State"
        case configuration = "Config"
    }

    var isOfPod: Bool { isLabelledAsPods(configuration?.labels) }

    var ownName: String { withoutSlash(name) }

    /// One that waits to be started again has no process, and is said to run.
    var running: RuntimeContainer {
        get throws(RuntimeFailure) {
            guard state.running, state.processID > 0 else { throw .notRunning(.exited) }
            return RuntimeContainer(
                id: id, name: ownName, processID: state.processID, cgroupsPath: nil, createdAt: nil, sandbox: nil)
        }
    }
}

/// One of the answer to `GET /containers/json`.
struct DockerListEntry: Decodable {
    let id: String
    let names: [String]?
    let labels: [String: String]?

    enum CodingKeys: String, CodingKey {
        case id = "Id"
        case names = "Names"
        case labels = "Labels"
    }

    /// Nil for a pod's, and for what is no container of Docker's. Links of others give it names with another slash in them.
    var container: RuntimePod.Container? {
        guard !isLabelledAsPods(labels), ContainerName.isWholeIdentifier(id),
            let name = names?.map(withoutSlash).first(where: { !$0.contains("/") })
        else { return nil }
        return RuntimePod.Container(id: id, name: name)
    }
}

/// The answer to `POST /containers/NAME/wait`.
struct DockerExit: Decodable {
    let code: Int32

    enum CodingKeys: String, CodingKey {
        case code = "StatusCode"
    }
}

/// What is read of the answer to `GET /version`.
struct DockerVersion: Decodable {
    struct Component: Decodable {
        let name: String

        enum CodingKeys: String, CodingKey {
            case name = "Name"
        }
    }

    let version: String
    let components: [Component]?

    enum CodingKeys: String, CodingKey {
        case version = "Version"
        case components = "Components"
    }

    var isPodman: Bool { components?.contains { $0.name == "Podman Engine" } ?? false }
}

extension DockerAnswer {
    /// Why a call was refused.
    var message: String {
        struct Refusal: Decodable {
            let message: String
        }
        let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(body))
        // Whatever else it is, it is no reason.
        return (refusal?.message ?? "").cut(to: 256)
    }
}

private func withoutSlash(_ name: String) -> String { name.hasPrefix("/") ? String(name.dropFirst()) : name }

/// Kubelet's runtimes on top of Docker label the containers of pods so.
private func isLabelledAsPods(_ labels: [String: String]?) -> Bool {
    labels?.keys.contains { $0.hasPrefix("io.kubernetes.pod.") } ?? false
}
