package import AgentAPI
package import ChaosModel

/// What the engine asks the runtimes process: the payload of a `question` frame, as `{"ask": "list"}`.
package enum RuntimeQuestion: Hashable, Sendable {
    /// The running container with exactly this identifier.
    ///
    /// Of one that is no pod's its beginning is enough, as its runtime shows it.
    case container(String)
    /// The running container that is no pod's and is called so.
    case named(ContainerName)
    /// Every pod, with its containers that run.
    case list
    /// The pods that are ready and match; of a single one also all of its containers.
    case find(PodSelector)
    /// What is behind each of the sockets.
    case status
    /// Stop the running container with exactly this identifier: its own stop signal, and SIGKILL after so many seconds;
    /// with 0 SIGKILL at once. Whoever hangs up before the answer takes it back.
    case stop(String, graceSeconds: Int64)

    /// The longest that a container may be given to end by itself.
    private static let longestGrace: Int64 = 3600

    /// How long it may take beyond the time that any other may.
    package var extraPatience: Duration {
        switch self {
        case .container, .named, .list, .find, .status: .zero
        // A killed container's processes have to end, and its runtime to notice.
        case .stop(_, let graceSeconds): .seconds(graceSeconds + 10)
        }
    }

    package init?(payload: some Collection<UInt8>) {
        // A malformed question needs no reason: only the engine asks.
        guard let json = try? JSON(parsing: payload, maximumDepth: 4) else { return nil }
        switch (json["ask"]?.stringValue, json["id"]?.stringValue, json.members?.count) {
        case ("container", let id?, 2): self = .container(id)
        case ("container", nil, 2):
            guard let name = json["name"]?.stringValue.flatMap(ContainerName.init) else { return nil }
            self = .named(name)
        case ("list", nil, 1): self = .list
        case ("status", nil, 1): self = .status
        case ("find", nil, 2):
            guard let pod = json["pod"].flatMap({ try? PodSelector($0, field: "pod") }) else { return nil }
            self = .find(pod)
        case ("stop", let id?, 3):
            guard let seconds = json["graceSeconds"]?.integerValue, (0...Self.longestGrace).contains(seconds) else {
                return nil
            }
            self = .stop(id, graceSeconds: seconds)
        default: return nil
        }
    }

    package var frame: Frame {
        let json: JSON =
            switch self {
            case .container(let id): ["ask": "container", "id": .string(id)]
            case .named(let name): ["ask": "container", "name": .string("\(name)")]
            case .list: ["ask": "list"]
            case .find(let pod): ["ask": "find", "pod": pod.json]
            case .status: ["ask": "status"]
            case .stop(let id, let seconds): ["ask": "stop", "id": .string(id), "graceSeconds": .integer(seconds)]
            }
        return Frame(.question, json.bytes)
    }
}

/// What the runtimes process answers: an `Answer` whose body holds one member, named for its kind.
package enum RuntimeAnswer: Hashable, Sendable {
    case container(RuntimeContainer)
    case list([RuntimePod])
    case status([RuntimeStatus])
    /// It has ended, with this status; nil where the runtime does not tell any more.
    case stopped(exitCode: Int32?)
    case failure(RuntimeFailure)

    /// Nil for what `answer` cannot have made.
    package init?(_ answer: Answer) {
        guard let members = answer.body.members, members.count == 1, let member = members.first else { return nil }
        switch member.name {
        case "container":
            guard let container = RuntimeContainer(member.value) else { return nil }
            self = .container(container)
        case "pods":
            guard let pods = RuntimePod.list(member.value) else { return nil }
            self = .list(pods)
        case "runtimes":
            guard let statuses = Self.values(of: member.value, as: { RuntimeStatus($0) }) else { return nil }
            self = .status(statuses)
        case "stopped":
            let code = member.value["exitCode"]
            let exitCode = code?.integerValue.flatMap { Int32(exactly: $0) }
            guard member.value.members != nil, (code == nil) == (exitCode == nil) else { return nil }
            self = .stopped(exitCode: exitCode)
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
        case .stopped(let exitCode):
            Answer(
                status: 200,
                body: ["stopped": .object([("exitCode", exitCode.map { .integer(Int64($0)) })])])
        case .failure(let failure): Answer(status: failure.problem.code.status, body: ["failure": failure.json])
        }
    }

    private static func values<Value>(of json: JSON, as decode: (JSON) -> Value?) -> [Value]? {
        guard let array = json.arrayValue else { return nil }
        let values = array.compactMap(decode)
        return values.count == array.count ? values : nil
    }
}
