import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// A container runtime that answers as a test wants it to: a gRPC server on a Unix socket.
final class FakeRuntime: Sendable {
    /// What the server does on a call, in this order.
    enum Action: Sendable {
        case send(HTTP2Frame.FramePayload)
        /// Tells the client to make no further calls on this connection.
        case goAway
        case ping
        case wait(TimeAmount)
        case closeConnection
    }

    let path: String
    private let channel: any Channel
    private let connections: NIOLockedValueBox<Int>
    private let log = NIOLockedValueBox(Log())

    /// What was asked, and what was given up by whoever asked.
    struct Log: Sendable {
        var requests: [(method: String, message: [UInt8])] = []
        var givenUp: [String] = []
    }

    /// How many connections were ever accepted.
    var connectionCount: Int { connections.withLockedValue { $0 } }

    /// The messages of all calls of a method.
    func requests(_ method: String) -> [[UInt8]] {
        log.withLockedValue { $0.requests.filter { $0.method == method }.map(\.message) }
    }

    /// Calls whose caller has left before they were answered.
    var givenUp: [String] { log.withLockedValue { $0.givenUp } }

    init(at path: String, _ actions: @escaping @Sendable (_ method: String) -> [Action]) async throws {
        self.path = path
        let connections = NIOLockedValueBox(0)
        self.connections = connections
        let log = self.log
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                connections.withLockedValue { $0 += 1 }
                var configuration = NIOHTTP2Handler.ConnectionConfiguration()
                configuration.controlFrameRateLimit.maximumCount = 100_000  // The client answers each ping.
                return channel.eventLoop.makeCompletedFuture { [configuration] in
                    _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                        mode: .server, connectionConfiguration: configuration, streamConfiguration: .init()
                    ) { stream in
                        stream.eventLoop.makeCompletedFuture {
                            try stream.pipeline.syncOperations.addHandler(CallHandler(actions, log))
                        }
                    }
                }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
    }

    func stop() async throws {
        if channel.isActive { try await channel.close() }
        unlink(path)
    }
}

extension [FakeRuntime.Action] {
    private static let head: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]

    /// A whole answer in gRPC's framing, in as many frames as asked.
    static func message(_ bytes: [UInt8], pieces: Int = 1) -> Self {
        let length = UInt32(bytes.count)
        let body = [0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) } + bytes
        let size = (body.count + pieces - 1) / pieces
        let data = stride(from: 0, to: body.count, by: size).map { start in
            FakeRuntime.Action.send(.data(body[start..<Swift.min(start + size, body.count)]))
        }
        return [.send(.headers(.init(headers: head)))] + data + [.status(0)]
    }

    /// The only headers of a call that failed.
    static func failure(_ code: Int, _ message: String) -> Self {
        var headers = head
        headers.add(name: "grpc-status", value: "\(code)")
        headers.add(name: "grpc-message", value: message)
        return [.send(.headers(.init(headers: headers, endStream: true)))]
    }
}

extension FakeRuntime.Action {
    static func status(_ code: Int) -> Self {
        .send(.headers(.init(headers: ["grpc-status": "\(code)"], endStream: true)))
    }
}

extension HTTP2Frame.FramePayload {
    static func data(_ bytes: some Sequence<UInt8>) -> Self {
        .data(.init(data: .byteBuffer(ByteBuffer(bytes: bytes))))
    }
}

private final class CallHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let actions: @Sendable (String) -> [FakeRuntime.Action]
    private let log: NIOLockedValueBox<FakeRuntime.Log>
    private var method = ""
    private var isAnswered = false

    init(_ actions: @escaping @Sendable (String) -> [FakeRuntime.Action], _ log: NIOLockedValueBox<FakeRuntime.Log>) {
        self.actions = actions
        self.log = log
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isAnswered { log.withLockedValue { $0.givenUp.append(method) } }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers):
            guard headers.headers.first(name: ":authority") == "localhost",
                headers.headers.first(name: "te") == "trailers",
                headers.headers.first(name: "content-type") == "application/grpc",
                headers.headers.first(name: "grpc-timeout")?.hasSuffix("m") == true
            else { return context.close(promise: nil) }
            method = headers.headers.first(name: ":path")?.split(separator: "/").last.map(String.init) ?? ""
        case .data(let data) where data.endStream:
            if case .byteBuffer(let body) = data.data {
                // Behind the flag and the length.
                log.withLockedValue { $0.requests.append((method, Array(body.readableBytesView.dropFirst(5)))) }
            }
            carryOut(actions(method)[...], on: context.channel)
        default: break
        }
    }

    private func carryOut(_ actions: ArraySlice<FakeRuntime.Action>, on channel: any Channel) {
        var rest = actions
        guard let action = rest.popFirst() else { return }
        switch action {
        case .send(let payload):
            if case .headers(let headers) = payload, headers.endStream { isAnswered = true }
            channel.writeAndFlush(payload, promise: nil)
        case .goAway:
            channel.parent?.writeAndFlush(
                HTTP2Frame(
                    streamID: .rootStream,
                    payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil)), promise: nil)
        case .ping:
            channel.parent?.writeAndFlush(
                HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 7), ack: false)),
                promise: nil)
        case .wait(let time):
            let later = NIOLoopBound(self, eventLoop: channel.eventLoop)
            channel.eventLoop.scheduleTask(in: time) { [rest] in later.value.carryOut(rest, on: channel) }
            return
        case .closeConnection:
            channel.parent?.close(promise: nil)
            return
        }
        carryOut(rest, on: channel)
    }
}
