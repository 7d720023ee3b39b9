package import ChaosModel

/// What is behind one of the sockets at which a container runtime is looked for.
package struct RuntimeStatus: Hashable, Sendable {
    package enum Availability: Hashable, Sendable {
        case available(runtime: String, version: String)
        /// There is no socket.
        case absent
        case unreachable(reason: String)
        /// The same, where nobody named it and another runtime answers: the node is none the worse for it.
        case dispensable(reason: String)
    }

    package let socket: String
    package let availability: Availability

    package init(socket: String, availability: Availability) {
        self.socket = socket
        self.availability = availability
    }
}

extension RuntimeStatus {
    package var json: JSON {
        switch availability {
        case .available(let runtime, let version):
            ["socket": .string(socket), "runtime": .string(runtime), "version": .string(version)]
        case .absent: ["socket": .string(socket)]
        case .unreachable(let reason): ["socket": .string(socket), "unreachable": .string(reason)]
        case .dispensable(let reason):
            ["socket": .string(socket), "unreachable": .string(reason), "needed": false]
        }
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let socket = json["socket"]?.stringValue else { return nil }
        self.socket = socket
        if let runtime = json["runtime"]?.stringValue, let version = json["version"]?.stringValue {
            availability = .available(runtime: runtime, version: version)
        } else if let reason = json["unreachable"]?.stringValue {
            availability =
                json["needed"] == .boolean(false) ? .dispensable(reason: reason) : .unreachable(reason: reason)
        } else {
            availability = .absent
        }
    }
}
