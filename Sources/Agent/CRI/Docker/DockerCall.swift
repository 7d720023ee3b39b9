internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

struct DockerAnswer: Sendable {
    let status: Int
    let body: [UInt8]
}

/// One request and its answer, on a connection of its own that ends with it: whoever fails the answer takes the request back.
final class DockerCall: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    static let maximumLength = 16 << 20

    private let head: HTTPRequestHead
    private let answer: EventLoopPromise<DockerAnswer>
    private var status: Int?
    private var body = ByteBuffer()

    private init(_ method: HTTPMethod, _ place: String, answer: EventLoopPromise<DockerAnswer>) {
        head = HTTPRequestHead(
            version: .http1_1, method: method, uri: place,
            headers: ["Host": "localhost", "Content-Length": "0", "Connection": "close"])
        self.answer = answer
    }

    /// - Parameter answer: Of this event loop. It fails with a `CallFailure` at the latest at the deadline, or with an
    ///   `IOError` when there is no connection.
    static func begin(
        _ method: HTTPMethod, _ place: String, at path: String, on loop: any EventLoop, before deadline: NIODeadline,
        answer: EventLoopPromise<DockerAnswer>
    ) {
        let timer = loop.scheduleTask(deadline: deadline) {
            answer.fail(CallFailure.unreachable("no answer in time"))
        }
        answer.futureResult.whenComplete { _ in timer.cancel() }
        ClientBootstrap(group: loop)
            .connectTimeout(max(.milliseconds(1), deadline - .now()))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(DockerCall(method, place, answer: answer))
                }
            }
            .connect(unixDomainSocketPath: path)
            .whenFailure { answer.fail($0) }
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        answer.futureResult.whenComplete { _ in channel.close(promise: nil) }
        guard let listener = DockerListener(of: channel) else {
            return answer.fail(CallFailure.unreachable("nobody knows who listens there"))
        }
        guard listener.isTrusted(by: geteuid()) else {
            return answer.fail(CallFailure.unreachable("user \(listener.user) listens there, and not root"))
        }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): status = Int(head.status.code)
        case .body(let bytes):
            guard body.readableBytes + bytes.readableBytes <= Self.maximumLength else {
                return answer.fail(CallFailure.malformed("more than \(Self.maximumLength) bytes"))
            }
            body.writeImmutableBuffer(bytes)
        case .end:
            guard let status else { return answer.fail(CallFailure.malformed("an answer without a status")) }
            answer.succeed(DockerAnswer(status: status, body: Array(buffer: body)))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(CallFailure.unreachable("the runtime closed the connection amid a call"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(CallFailure.malformed("\(error)"))
        context.close(promise: nil)
    }
}
