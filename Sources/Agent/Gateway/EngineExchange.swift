import AgentAPI
import ChaosModel
import NIOCore
import NIOPosix

/// Where the engine listens, and what everybody who asks it shares.
struct EngineAccess {
    let socketPath: String
    let limits: Limits
    let troubles: TroubleLog
    /// Of what clients do, so that they cannot keep anything else from being told.
    let strangers: TroubleLog
}

/// One frame to the engine and what comes back, over a connection of its own.
///
///     connecting ──→ asked ──(first reply)──→ replied ──→ over
///         ↑            │ connection breaks        └─(connection breaks)─→ over, cut off
///         └── pause ←──┘ for as long as recovery may take; then over, unavailable
///
/// Asking again is safe: a token that the engine had taken in before it went away is answered as `replayed`.
final class EngineExchange {
    enum Reply {
        /// The payload of the only reply.
        case answer([UInt8])
        case item([UInt8])
        case end
        /// There will be no reply.
        case unavailable(Problem)
        /// There were replies, and there will be no more.
        case cutOff
    }

    private let frame: Frame
    private let engine: EngineAccess
    /// Until the first reply.
    private let time: Duration
    private let loop: any EventLoop
    private let deliver: (Reply) -> Void

    private var channel: (any Channel)?
    private var isOver = false
    private var hasReplied = false
    private var answerTimer: Scheduled<Void>?
    /// Until when a broken connection is made anew; nil before the first one broke.
    private var recoversUntil: NIODeadline?
    private var isPaused = false

    /// - Parameter deliver: Called on the loop, any number of times with `item`, once with one of the others.
    init(
        _ frame: Frame, to engine: EngineAccess, within time: Duration, on loop: any EventLoop,
        deliver: @escaping (Reply) -> Void
    ) {
        self.frame = frame
        self.engine = engine
        self.time = time
        self.loop = loop
        self.deliver = deliver
    }

    func begin() {
        answerTimer = loop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { [weak self, time] in
            self?.giveUp("the engine did not answer within \(time.text)")
        }
        connect()
    }

    /// Nobody waits for the replies any more.
    func cancel() {
        isOver = true
        answerTimer?.cancel()
        channel?.close(promise: nil)
    }

    /// Takes no more of the engine until `resume()`, so that what the client leaves unread waits in the engine.
    func pause() {
        isPaused = true
    }

    func resume() {
        guard isPaused else { return }
        isPaused = false
        channel?.read()
    }

    private func connect() {
        guard !isOver else { return }
        let exchange = NIOLoopBound(self, eventLoop: loop)
        let attempt = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(engine.limits.connectTime))
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(EngineReplies(of: exchange.value))
                }
            }
            .connect(unixDomainSocketPath: engine.socketPath)
        attempt.assumeIsolated().whenFailure { self.connectionBroke("\($0)") }
    }

    fileprivate func connected(_ channel: any Channel) {
        guard !isOver else { return channel.close(promise: nil) }
        self.channel = channel
        channel.writeAndFlush(channel.allocator.buffer(bytes: frame.encoded), promise: nil)
        channel.read()
    }

    fileprivate func received(_ reply: Frame) {
        guard !isOver else { return }
        hasReplied = true
        answerTimer?.cancel()
        switch reply.kind {
        case .item: deliver(.item(reply.payload))
        case .answer: finish(.answer(reply.payload))
        case .end: finish(.end)
        case .envelope, .command, .query, .question, .credentials: receivedNonsense("a request")
        }
    }

    fileprivate func receivedNonsense(_ cause: String) {
        guard !isOver else { return }
        engine.troubles.report("the engine sent what is no reply: \(cause)")
        finish(.cutOff)
    }

    fileprivate func finishedReading() {
        if !isPaused && !isOver { channel?.read() }
    }

    fileprivate func connectionBroke(_ cause: String) {
        channel = nil
        guard !isOver else { return }
        guard !hasReplied else {
            engine.troubles.report("the engine went away amid its replies")
            return finish(.cutOff)
        }
        let limits = engine.limits
        let deadline = recoversUntil ?? .now() + TimeAmount(limits.recoveryTime)
        recoversUntil = deadline
        guard .now() + TimeAmount(limits.recoveryPause) < deadline else {
            engine.troubles.report("the engine at \(engine.socketPath) is not to be reached: \(cause)")
            return giveUp("the engine is not to be reached: \(cause)")
        }
        loop.assumeIsolated().scheduleTask(in: TimeAmount(limits.recoveryPause)) { [weak self] in self?.connect() }
    }

    private func giveUp(_ reason: String) {
        guard !isOver else { return }
        finish(
            .unavailable(
                Problem(
                    .engineUnavailable, reason,
                    hint: "try again with the same token: if it had been taken in, the answer names the session")))
    }

    private func finish(_ reply: Reply) {
        cancel()
        deliver(reply)
    }
}

/// The engine's side of one connection: bytes to frames.
private final class EngineReplies: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let exchange: EngineExchange
    private var decoder = FrameDecoder()

    init(of exchange: EngineExchange) {
        self.exchange = exchange
    }

    func channelActive(context: ChannelHandlerContext) {
        exchange.connected(context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data).readableBytesView)
        do throws(FrameError) {
            while let frame = try decoder.next() { exchange.received(frame) }
        } catch {
            exchange.receivedNonsense("\(error)")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        exchange.finishedReading()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The connection is of no further use; `channelInactive` says so to the exchange.
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        exchange.connectionBroke("connection closed")
    }
}
