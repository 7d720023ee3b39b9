/// What a worker tells the engine, one line each. The engine says nothing: that it closes the connection, as the
/// kernel does when it dies, tells the worker to end.
package enum WorkerMessage: Hashable, Sendable {
    /// Every thread runs.
    case ready
    /// It could not start, and ends.
    case failed(reason: String)

    /// With the newline that ends it.
    package var line: String {
        switch self {
        case .ready: "ready\n"
        case .failed(let reason): "failed \(reason)\n"
        }
    }

    /// Reads a line without its newline; nil when it is none of these.
    package init?(line: some StringProtocol) {
        if line == "ready" {
            self = .ready
        } else if line.hasPrefix("failed ") {
            self = .failed(reason: String(line.dropFirst("failed ".count)))
        } else {
            return nil
        }
    }
}

/// Why a worker's program ended.
package enum WorkerExitStatus: Int32, Sendable {
    case deadline = 0
    case badArguments = 2
    case engineGone = 3
    case failed = 4
}
