internal import ContainerRuntimes
internal import LinuxSystem
internal import NIOCore
internal import SwiftProtobuf

/// A container runtime that speaks CRI. It connects when there is something to ask, and again after the
/// runtime has been restarted.
actor RuntimeSocket: ContainerRuntime {
    nonisolated let path: String
    private let loop: any EventLoop
    private var connection = Connection.none
    private var reachability: Reachability

    private enum Connection {
        case none
        case opening(EventLoopFuture<HTTP2Connection>)
        case open(HTTP2Connection)
    }

    init(path: String, on loop: any EventLoop, log: @escaping @Sendable (String) -> Void) {
        self.path = path
        self.loop = loop
        reachability = Reachability(of: path, log: log)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor.asUnownedSerialExecutor() }

    func call<Request: Message, Response: Message>(
        _ method: String, _ request: Request, returning: Response.Type, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Response {
        do throws(CallFailure) {
            let response: Response = try await exchange(method, request, before: deadline)
            reachability.note(nil)
            return response
        } catch {
            reachability.note(error)
            throw error.runtimeFailure
        }
    }

    private func exchange<Request: Message, Response: Message>(
        _ method: String, _ request: Request, before deadline: NIODeadline
    ) async throws(CallFailure) -> Response {
        let connection = try await openConnection()
        let bytes: [UInt8]
        do {
            let message = ByteBuffer(bytes: try request.serializedBytes() as [UInt8])
            // What was taken back by now is not even asked for.
            if Task.isCancelled { throw CallFailure.withdrawn }
            let response = loop.makePromise(of: ByteBuffer.self)
            connection.unaryCall(
                "/runtime.v1.RuntimeService/\(method)", message, before: deadline, response: response)
            bytes = try await withTaskCancellationHandler {
                Array(buffer: try await response.futureResult.get())
            } onCancel: {
                response.fail(CallFailure.withdrawn)
            }
        } catch let failure as CallFailure {
            throw failure
        } catch {
            throw .unreachable("\(error)")
        }
        do {
            return try Response(serializedBytes: bytes)
        } catch {
            throw .malformed("\(Response.protoMessageName): \(error)")
        }
    }

    private func openConnection() async throws(CallFailure) -> HTTP2Connection {
        let opening: EventLoopFuture<HTTP2Connection>
        switch connection {
        case .open(let connection) where connection.isUsable: return connection
        case .opening(let future): opening = future
        case .open, .none:
            opening = HTTP2Connection.open(path, on: loop)
            connection = .opening(opening)
        }
        do {
            let opened = try await opening.get()
            settle(opening, as: .open(opened))
            return opened
        } catch {
            settle(opening, as: .none)
            let cause = (error as? IOError).map { "\(Errno(rawValue: $0.errnoCode))" } ?? "\(error)"
            throw .unreachable("connect \(path): \(cause)")
        }
    }

    /// Others may have waited for the same connection, and one of them may already have begun another.
    private func settle(_ opening: EventLoopFuture<HTTP2Connection>, as outcome: Connection) {
        if case .opening(let current) = connection, current == opening { connection = outcome }
    }
}
