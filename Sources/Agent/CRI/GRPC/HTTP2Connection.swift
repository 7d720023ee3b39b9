internal import NIOCore
internal import NIOHTTP2
internal import NIOPosix

/// A connection over which calls are made; used only on its event loop. It closes itself when idle.
struct HTTP2Connection: Sendable {
    private static let idleLimit = TimeAmount.seconds(30)

    private let channel: any Channel
    private let streams: NIOHTTP2Handler.StreamMultiplexer
    private let isGoingAway: NIOLoopBoundBox<Bool>
    private let callsUnderWay: NIOLoopBoundBox<Int>

    /// Whether new calls may be made.
    var isUsable: Bool { channel.isActive && !isGoingAway.value }

    static func open(_ path: String, on loop: any EventLoop) -> EventLoopFuture<HTTP2Connection> {
        let isGoingAway = NIOLoopBoundBox.makeBoxSendingValue(false, eventLoop: loop)
        let callsUnderWay = NIOLoopBoundBox.makeBoxSendingValue(0, eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                // First, so that it sees every byte in both directions.
                try pipeline.addHandler(IdleStateHandler(allTimeout: Self.idleLimit))
                var configuration = NIOHTTP2Handler.ConnectionConfiguration()
                // containerd pings with nearly every answer, to measure the connection: beyond the usual limit
                // of 200 in 30 seconds.
                configuration.controlFrameRateLimit.maximumCount = 100_000
                _ = try pipeline.configureHTTP2Pipeline(
                    mode: .client, connectionConfiguration: configuration, streamConfiguration: .init()
                ) { $0.close() }  // A runtime has nothing to push.
                try pipeline.addHandler(ConnectionWatch(isGoingAway: isGoingAway, callsUnderWay: callsUnderWay))
            }
        }
        return bootstrap.connect(unixDomainSocketPath: path).flatMapThrowing { channel in
            let handler = try channel.pipeline.syncOperations.handler(type: NIOHTTP2Handler.self)
            return HTTP2Connection(
                channel: channel, streams: try handler.syncMultiplexer(), isGoingAway: isGoingAway,
                callsUnderWay: callsUnderWay)
        }
    }

    /// Makes a unary call. The response fails with a `CallFailure` at the latest at the deadline; whoever fails it earlier
    /// takes the call back.
    ///
    /// - Parameter response: Of this connection's event loop.
    func unaryCall(
        _ method: String, _ message: ByteBuffer, before deadline: NIODeadline, response: EventLoopPromise<ByteBuffer>
    ) {
        let loop = channel.eventLoop
        callsUnderWay.value += 1
        let timer = loop.scheduleTask(deadline: deadline) {
            response.fail(CallFailure.unreachable("no answer in time"))
        }
        streams.createStreamChannel { stream in
            stream.eventLoop.makeCompletedFuture {
                try stream.pipeline.syncOperations.addHandler(
                    UnaryCall(method, message, before: deadline, response: response))
            }
        }.whenFailure { response.fail(CallFailure.unreachable("\($0)")) }
        response.futureResult.whenComplete { [callsUnderWay] _ in
            callsUnderWay.value -= 1
            timer.cancel()
        }
    }
}

/// Sees when a runtime that is about to stop asks for no more calls, and ends a connection that nobody uses.
private final class ConnectionWatch: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let isGoingAway: NIOLoopBoundBox<Bool>
    private let callsUnderWay: NIOLoopBoundBox<Int>

    init(isGoingAway: NIOLoopBoundBox<Bool>, callsUnderWay: NIOLoopBoundBox<Int>) {
        self.isGoingAway = isGoingAway
        self.callsUnderWay = callsUnderWay
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .goAway = unwrapInboundIn(data).payload { isGoingAway.value = true }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // While a container takes its time to stop there is nothing to be heard.
        if event is IdleStateHandler.IdleStateEvent, callsUnderWay.value == 0 { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
