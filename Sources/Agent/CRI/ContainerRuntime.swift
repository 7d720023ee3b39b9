internal import ChaosModel
internal import ContainerRuntimes
internal import NIOCore

/// What runs containers, behind one socket. Each question has a deadline, and can be taken back.
protocol ContainerRuntime: Sendable {
    var path: String { get }

    /// The running container with this identifier.
    func container(_ id: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeContainer

    /// The running container that is no pod's and is called so.
    func container(
        named name: ContainerName, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> RuntimeContainer

    /// Every pod, with its containers that run.
    func pods(before deadline: NIODeadline) async throws(RuntimeFailure) -> [RuntimePod]

    /// The pods that are ready and match, with all of their containers.
    func pods(matching selector: PodSelector, before deadline: NIODeadline) async throws(RuntimeFailure) -> [RuntimePod]

    /// Stops the running container with exactly this identifier.
    ///
    /// - Parameter asking: The deadline of what is asked before it is told anything.
    /// - Returns: Its exit status, where the runtime tells.
    /// - Throws: `unconfirmed` when it may have been stopped all the same; anything else when it was told nothing.
    func stop(
        _ id: String, graceSeconds: Int64, asking: NIODeadline, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Int32?

    /// The name and version of the runtime.
    func version(before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeStatus.Availability
}

/// Whether a runtime answers; a person is told when that changes.
struct Reachability {
    private let path: String
    private let log: @Sendable (String) -> Void
    private var wasReachable = true

    init(of path: String, log: @escaping @Sendable (String) -> Void) {
        self.path = path
        self.log = log
    }

    mutating func note(_ failure: CallFailure?) {
        switch failure {
        case .unreachable(let reason), .unserved(let reason): note(reachable: false, because: reason)
        case .status, .malformed, nil: note(reachable: true)
        case .withdrawn: break
        }
    }

    private mutating func note(reachable: Bool, because reason: String = "") {
        if reachable == wasReachable { return }
        wasReachable = reachable
        log(reachable ? "container runtime at \(path) answers again" : "container runtime at \(path): \(reason)")
    }
}
