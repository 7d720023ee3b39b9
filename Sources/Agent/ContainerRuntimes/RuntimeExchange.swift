package import AgentAPI
internal import ChaosModel

/// What the engine asks the runtimes process: the payload of a `question` frame, as `{"ask": "list"}`.
package enum RuntimeQuestion: Hashable, Sendable {
    /// The running container with exactly this identifier.
    case container(String)
    /// Every pod, with its containers that run.
    case list
    /// What is behind each of the sockets.
    case status

    package init?(payload: some Collection<UInt8>) {
        // A malformed question needs no reason: only the engine asks.
        guard let json = try? JSON(parsing: payload, maximumDepth: 2) else { return nil }
        switch (json["ask"]?.stringValue, json["id"]?.stringValue, json.members?.count) {
        case ("container", let id?, 2): self = .container(id)
        case ("list", nil, 1): self = .list
        case ("status", nil, 1): self = .status
        default: return nil
        }
    }

    package var frame: Frame {
        let json: JSON =
            switch self {
            case .container(let id): ["ask": "container", "id": .string(id)]
            case .list: ["ask": "list"]
            case .status: ["ask": "status"]
            }
        return Frame(.question, json.bytes)
    }
}

/// What the runtimes process answers: an `Answer` whose body holds one member, named for its kind.
package enum RuntimeAnswer: Hashable, Sendable {
    case container(RuntimeContainer)
    case list([RuntimePod])
    case status([RuntimeStatus])
    case failure(RuntimeFailure)

    /// Nil for what `answer` cannot have made.
    package init?(_ answer: Answer) {
        guard let members = answer.body.members, members.count == 1, let member = members.first else { return nil }
        switch member.name {
        case "container":
            guard let container = RuntimeContainer(member.value) else { return nil }
            self = .container(container)
        case "pods":
            guard let pods = Self.values(of: member.value, as: { RuntimePod($0) }) else { return nil }
            self = .list(pods)
        case "runtimes":
            guard let statuses = Self.values(of: member.value, as: { RuntimeStatus($0) }) else { return nil }
            self = .status(statuses)
        case "failure":
            guard let failure = RuntimeFailure(member.value) else { return nil }
            self = .failure(failure)
        default: return nil
        }
    }

    package var answer: Answer {
        switch self {
        case .container(let container): Answer(status: 200, body: ["container": container.json])
        case .list(let pods): Answer(status: 200, body: ["pods": .array(pods.map(\.json))])
        case .status(let statuses): Answer(status: 200, body: ["runtimes": .array(statuses.map(\.json))])
        case .failure(let failure): Answer(status: failure.problem.code.status, body: ["failure": failure.json])
        }
    }

    private static func values<Value>(of json: JSON, as decode: (JSON) -> Value?) -> [Value]? {
        guard let array = json.arrayValue else { return nil }
        let values = array.compactMap(decode)
        return values.count == array.count ? values : nil
    }
}
