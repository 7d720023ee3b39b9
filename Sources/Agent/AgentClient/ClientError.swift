package import LinuxSystem

/// Why there is no answer from the agent: what failed on which socket, and what may help.
package struct ClientError: Error, Hashable, Sendable {
    package enum Failure: Hashable, Sendable {
        case notConnected(SystemCallError)
        case disconnected(SystemCallError)
        /// Over the network: no connection, or not with whom it should be.
        case notReached(String)
        /// Over the network: lost amid the request.
        case broken(String)
        /// The other side closed before it had answered in full.
        case closedEarly
        case notTheProtocol(String)
    }

    /// The path of the socket, or the address.
    package let socket: String
    package let failure: Failure

    package init(socket: String, _ failure: Failure) {
        self.socket = socket
        self.failure = failure
    }

    /// What to do about it.
    package var remedy: String {
        switch failure {
        case .notConnected(let error), .disconnected(let error): Self.remedy(for: error.errno)
        case .notReached, .broken: "is the agent's port for TLS reachable from here, and are these its certificates?"
        case .closedEarly: "the agent is restarting or at its limits: try again"
        case .notTheProtocol: "something else listens on this socket, or an agent of another version"
        }
    }

    private static func remedy(for errno: Errno) -> String {
        switch errno {
        case .noEntry, .notDirectory:
            "is the agent running on this node, and is this the path of its socket? in a container, it must be mounted"
        case .connectionRefused: "the agent that made this socket has stopped: look why, and start it"
        case .permissionDenied, .notPermitted: "the socket is not for this user: root, or the group it was given to"
        case .wouldBlock, .timedOut: "the agent is overloaded or hangs: look at its log, or try again"
        default: "the agent is restarting or has stopped: look at its log, or try again"
        }
    }
}

extension ClientError: CustomStringConvertible {
    package var description: String {
        switch failure {
        case .notConnected(let error): "cannot reach the agent at \(socket): \(error.errno)"
        case .disconnected(let error): "lost the agent at \(socket): \(error.call): \(error.errno)"
        case .notReached(let reason): "cannot reach the agent at \(socket): \(reason)"
        case .broken(let reason): "lost the agent at \(socket): \(reason)"
        case .closedEarly: "the agent at \(socket) closed the connection without an answer"
        case .notTheProtocol(let reason): "what came from \(socket) is not an agent's answer: \(reason)"
        }
    }
}
