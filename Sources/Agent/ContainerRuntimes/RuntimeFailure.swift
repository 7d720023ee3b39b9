package import ChaosModel

/// Why a question about containers has no good answer.
package enum RuntimeFailure: Error, Hashable, Sendable {
    /// Every runtime of the node answered, and none knows the container.
    case notFound
    case notRunning(RuntimeContainerState)
    /// A runtime, or the process that speaks to it, could not be asked: the container may exist.
    case unreachable(reason: String)
    /// What was answered makes no sense, or the runtime refused the call.
    case refused(reason: String)
    /// Several runtimes of the node know a container that is named so.
    case ambiguous
    /// What listens there has no containers to tell of, as containerd where its CRI is turned off; or nobody listens.
    case unserved(reason: String)
    /// The runtime was told to stop the container, and nobody knows whether it has.
    case unconfirmed(reason: String)
}

/// The states of a container that has no process to act on.
package enum RuntimeContainerState: String, Sendable {
    case created, exited, unknown
}

extension RuntimeFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notFound: "no runtime of this node knows the container"
        case .notRunning(let state): "the container is not running: \(state.rawValue)"
        case .unreachable(let reason): "the container runtime cannot be asked: \(reason)"
        case .refused(let reason): "the container runtime gave no usable answer: \(reason)"
        case .ambiguous: "containers of several runtimes are named so"
        case .unserved(let reason): "no container runtime is served: \(reason)"
        case .unconfirmed(let reason):
            "the container runtime was told to stop the container, and has not said that it did: \(reason)"
        }
    }
}

extension RuntimeFailure {
    /// The failure as the API tells it.
    package var problem: Problem {
        switch self {
        case .notFound: Problem(.targetNotFound, description)
        case .notRunning: Problem(.targetGone, description)
        case .ambiguous: Problem(.targetAmbiguous, description, hint: "name it by its whole identifier")
        case .unreachable, .refused, .unserved, .unconfirmed: Problem(.runtimeUnavailable, description)
        }
    }

    var json: JSON {
        switch self {
        case .notFound: ["kind": "notFound"]
        case .notRunning(let state): ["kind": "notRunning", "state": .string(state.rawValue)]
        case .unreachable(let reason): ["kind": "unreachable", "reason": .string(reason)]
        case .refused(let reason): ["kind": "refused", "reason": .string(reason)]
        case .ambiguous: ["kind": "ambiguous"]
        case .unserved(let reason): ["kind": "unserved", "reason": .string(reason)]
        case .unconfirmed(let reason): ["kind": "unconfirmed", "reason": .string(reason)]
        }
    }

    init?(_ json: JSON) {
        let state = json["state"]?.stringValue.flatMap { RuntimeContainerState(rawValue: $0) }
        switch (json["kind"]?.stringValue, state, json["reason"]?.stringValue?.cut(to: 256)) {
        case ("notFound", nil, nil): self = .notFound
        case ("notRunning", let state?, nil): self = .notRunning(state)
        case ("unreachable", nil, let reason?): self = .unreachable(reason: reason)
        case ("refused", nil, let reason?): self = .refused(reason: reason)
        case ("ambiguous", nil, nil): self = .ambiguous
        case ("unserved", nil, let reason?): self = .unserved(reason: reason)
        case ("unconfirmed", nil, let reason?): self = .unconfirmed(reason: reason)
        default: return nil
        }
    }
}
