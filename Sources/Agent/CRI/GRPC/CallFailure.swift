internal import ContainerRuntimes

/// Why a call to a runtime has no result.
package enum CallFailure: Error, Hashable, Sendable {
    /// No connection, a lost connection, or no answer in time.
    case unreachable(String)
    /// The runtime refused the call, with a status of gRPC or HTTP.
    case status(code: Int, message: String)
    /// There is a socket, and nobody listens.
    case unserved(String)
    /// What came back is not gRPC, or not what was asked for.
    case malformed(String)
    /// Nobody wants the answer any more.
    case withdrawn
}

extension CallFailure {
    var runtimeFailure: RuntimeFailure {
        switch self {
        case .unreachable(let reason): .unreachable(reason: reason)
        case .unserved(let reason): .unserved(reason: reason)
        case .malformed(let reason): .refused(reason: reason)
        case .withdrawn: .unreachable(reason: "the question was taken back")
        case .status(code: GRPCStatus.notFound, message: _): .notFound
        case .status(code: GRPCStatus.deadlineExceeded, let message),
            .status(code: GRPCStatus.unavailable, let message):
            .unreachable(reason: message)
        case .status(code: GRPCStatus.unimplemented, let message): .unserved(reason: message)
        case .status(let code, let message): .refused(reason: "status \(code): \(message)")
        }
    }
}

enum GRPCStatus {
    static let ok = 0
    static let deadlineExceeded = 4
    static let notFound = 5
    static let unimplemented = 12
    static let unavailable = 14
}
