import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix

/// A daemon that speaks Docker's API as a test wants it to: an HTTP server on a Unix socket.
final class FakeDocker: Sendable {
    enum Answer: Sendable {
        case json(String, status: Int = 200)
        /// So many bytes of nothing, in chunks.
        case long(Int)
        case silence
        case hangUp
        /// These bytes, whatever they are.
        case raw(String)
    }

    let path: String
    private let channel: any Channel
    private let log = NIOLockedValueBox(Log())

    private struct Log {
        var requests: [String] = []
        var open = 0
    }

    /// Each as `GET /version`.
    var requests: [String] { log.withLockedValue { $0.requests } }
    /// Connections that nobody has closed.
    var openConnections: Int { log.withLockedValue { $0.open } }

    init(at path: String, _ answer: @escaping @Sendable (_ request: String) -> Answer) async throws {
        self.path = path
        let log = self.log
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                log.withLockedValue { $0.open += 1 }
                channel.closeFuture.whenComplete { _ in log.withLockedValue { $0.open -= 1 } }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(
                        RequestHandler { request in
                            log.withLockedValue { $0.requests.append(request) }
                            return answer(request)
                        })
                }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
    }

    func stop() async throws {
        if channel.isActive { try await channel.close() }
        unlink(path)
    }
}

private final class RequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: (String) -> FakeDocker.Answer

    init(_ answer: @escaping (String) -> FakeDocker.Answer) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data) else { return }
        switch answer("\(head.method.rawValue) \(head.uri)") {
        case .json(let text, let status): write(text, HTTPResponseStatus(statusCode: status), context)
        case .long(let count): write(String(repeating: " ", count: count), .ok, context)
        case .silence: return
        case .hangUp: context.close(promise: nil)
        case .raw(let text):
            let context = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.value.pipeline.context(handlerType: HTTPResponseEncoder.self).whenSuccess {
                $0.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
            }
        }
    }

    private func write(_ text: String, _ status: HTTPResponseStatus, _ context: ChannelHandlerContext) {
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: ["Content-Type": "application/json"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
