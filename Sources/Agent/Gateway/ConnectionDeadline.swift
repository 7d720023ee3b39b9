import NIOCore

/// Ends a client's connection that stays too long in what it is doing.
///
/// First in the pipeline, because only bytes tell that a request has begun whose head is not yet complete.
final class ConnectionDeadline: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    enum Phase {
        /// Of TLS.
        case handshaking
        /// Between requests.
        case idle
        /// A request has begun to arrive.
        case receiving
        /// The engine has the word.
        case answering
        /// A response waits for the client to take it.
        case sending
        /// The last response has been sent.
        case lingering
    }

    private let limits: Limits
    private let idleTime: Duration
    private var phase: Phase
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?

    init(limits: Limits, idleTime: Duration, from phase: Phase) {
        self.limits = limits
        self.idleTime = idleTime
        self.phase = phase
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        enter(phase)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if phase == .idle { enter(.receiving) }
        context.fireChannelRead(data)
    }

    func enter(_ phase: Phase) {
        self.phase = phase
        timer?.cancel()
        timer = nil
        guard let context, let time = time(for: phase) else { return }
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    private func time(for phase: Phase) -> Duration? {
        switch phase {
        case .handshaking: limits.handshakeTime
        case .idle: idleTime
        case .receiving: limits.requestTime
        case .answering: nil
        case .sending: limits.stalledTime
        case .lingering: limits.lingerTime
        }
    }
}
