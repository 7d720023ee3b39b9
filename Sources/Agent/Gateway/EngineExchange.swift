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
    let links = EngineLinks()
    let refusals = GatewayRefusals()
}

/// One frame to the engine and what comes back, over a connection that nobody else uses meanwhile.
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

    private var link: EngineLink?
    /// The connection has carried other exchanges before: the engine may have gone since.
    private var isReused = false
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
        if let rested = engine.links.take() {
            isReused = true
            begin(on: rested)
        } else {
            connect()
        }
    }

    /// Nobody waits for the replies any more.
    func cancel() {
        isOver = true
        answerTimer?.cancel()
        link?.close()
        link = nil
    }

    /// Takes no more of the engine until `resume()`, so that what the client leaves unread waits in the engine.
    func pause() {
        isPaused = true
    }

    func resume() {
        guard isPaused else { return }
        isPaused = false
        link?.read()
    }

    private func connect() {
        guard !isOver else { return }
        let fresh = NIOLoopBound((exchange: self, links: engine.links), eventLoop: loop)
        let attempt = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(engine.limits.connectTime))
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let link = EngineLink(channel, of: fresh.value.links, carrying: fresh.value.exchange)
                    try channel.pipeline.syncOperations.addHandler(link)
                }
            }
            .connect(unixDomainSocketPath: engine.socketPath)
        attempt.assumeIsolated().whenFailure { self.connectionBroke("\($0)") }
    }

    func begin(on link: EngineLink) {
        guard !isOver else { return link.close() }
        self.link = link
        link.carry(frame, for: self)
    }

    func received(_ reply: Frame) {
        guard !isOver else { return }
        hasReplied = true
        answerTimer?.cancel()
        switch reply.kind {
        case .item: deliver(.item(reply.payload))
        case .answer:
            // There is nothing more to come.
            if let link { engine.links.rest(link) }
            link = nil
            finish(.answer(reply.payload))
        case .end: finish(.end)
        case .envelope, .command, .query, .question, .credentials: receivedNonsense("a request")
        }
    }

    func receivedNonsense(_ cause: String) {
        guard !isOver else { return }
        engine.troubles.report("the engine sent what is no reply: \(cause)")
        finish(.cutOff)
    }

    func finishedReading() {
        if !isPaused && !isOver { link?.read() }
    }

    func connectionBroke(_ cause: String) {
        link = nil
        guard !isOver else { return }
        guard !hasReplied else {
            engine.troubles.report("the engine went away amid its replies")
            return finish(.cutOff)
        }
        if isReused {
            isReused = false
            return connect()
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
