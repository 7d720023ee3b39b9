import AgentAPI
import ChaosModel
import Glibc
import LinuxSystem
import Sessions

/// Serves the engine's socket: frames in, frames out, one request at a time on a connection.
///
/// An actor on a Dispatch queue of its own; nothing on it blocks.
actor EngineServer {
    /// More than the gateway's own bounds on clients of all its sockets together, so that the gateway is the one who refuses.
    private static let maximumConnections = 1024
    private static let operatorConnections = 32

    private let executor = DispatchExecutor(label: "squall.server")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let listener: OwnedDescriptor
    private let service: RequestService
    /// Users beside our own who may connect, without an operator's rights.
    private let gatewayUser: UInt32
    private var watch: DescriptorWatch?
    private var connections: [UInt64: Connection] = [:]
    private var nextConnection: UInt64 = 0

    init(listener: consuming OwnedDescriptor, service: RequestService, gatewayUser: UInt32) {
        self.listener = listener
        self.service = service
        self.gatewayUser = gatewayUser
    }

    func start() {
        watch = DescriptorWatch(listener.rawValue, on: executor.queue) { [weak self] in
            self?.assumeIsolated { $0.acceptAll() }
        }
    }

    private func acceptAll() {
        while true {
            let socket: OwnedDescriptor?
            do {
                socket = try OwnedDescriptor.accepted(from: listener)
            } catch {
                // It concerns a client that is gone, or, as too many open files, passes with the next call.
                return log("\(error)", .error)
            }
            guard let socket else { return }
            admit(socket)
        }
    }

    private func admit(_ socket: consuming OwnedDescriptor) {
        guard let peer = try? PeerCredentials(of: socket) else { return }
        let isOperator = peer.user == geteuid()
        // A gateway that is taken over locks no operator out.
        let others = connections.values.count { $0.isOperator != isOperator }
        let most = isOperator ? Self.operatorConnections : Self.maximumConnections - Self.operatorConnections
        guard isOperator || peer.user == gatewayUser, connections.count - others < most else { return }
        let number = nextConnection
        nextConnection += 1
        let connection = Connection(socket: socket, isOperator: isOperator, queue: executor.queue)
        connections[number] = connection
        connection.start { [weak self] in
            self?.assumeIsolated { $0.connections[number] = nil }
        } onRequest: { [weak self] frame in
            self?.assumeIsolated { $0.begin(frame, on: number) }
        }
    }

    private func begin(_ frame: Frame, on number: UInt64) {
        guard let connection = connections[number] else { return }
        let isOperator = connection.isOperator
        let request = connection.requestCount
        connection.work = Task {
            await service.answer(frame, isOperator: isOperator) { reply in
                await self.send(reply, to: request, on: number)
            }
            guard let connection = connections[number] else { return }
            // The gateway asks again; an operator hangs up.
            if isOperator { connection.finish() } else { connection.rest() }
        }
    }

    /// False when the other side is gone.
    private func send(_ frame: Frame, to request: Int, on number: UInt64) async -> Bool {
        guard let connection = connections[number], connection.requestCount == request else { return false }
        return await connection.send(frame)
    }
}
