import AgentAPI
import ChaosModel
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOSSL
import NIOTLS

/// One client's connection: a request in, its response out, then the next.
///
/// The pipeline handler before this one lets a request in only after the `end` of the response before it. That `end`
/// is written when the client has taken the rest, so a client that only sends holds one response at most.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case idle
        case receiving(HTTPRequestHead, bodyBytes: Int)
        case asking(HTTPRequestHead, EngineExchange)
        case streaming(EngineExchange, StreamFormat)
        case sending
        /// The last response is out; whatever comes in is dropped.
        case closing
    }

    private let reader: RequestReader
    private let engine: EngineAccess
    private let deadline: ConnectionDeadline
    /// Says whether this client may ask for something more now.
    private let admits: () -> Bool
    /// Who the client is by its certificate; nil where it needs none.
    private var identities: [PeerIdentity]?
    /// Until when its certificate says so, in seconds since 1970.
    private var validUntil = Int64.max

    private var context: ChannelHandlerContext?
    private var state = State.idle
    private var closesAfterResponse = false
    private var isInputClosed = false
    private var lastItem: EventLoopFuture<Void>?

    init(
        reader: RequestReader, engine: EngineAccess, deadline: ConnectionDeadline, isTLS: Bool,
        admits: @escaping () -> Bool
    ) {
        self.reader = reader
        self.engine = engine
        self.deadline = deadline
        // Until its certificate is seen it is nobody.
        identities = isTLS ? [] : nil
        self.admits = admits
    }

    /// Closes the connection when it has answered what it is answering.
    func drain() {
        closesAfterResponse = true
        guard case .idle = state else { return }
        // What still arrives is not carried out: nobody would be told.
        state = .closing
        close()
    }

    private func close() {
        // TLS says good-bye, and waits a moment for an answer.
        deadline.enter(.lingering)
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        case .asking(_, let exchange), .streaming(let exchange, _): exchange.cancel()
        case .idle, .receiving, .sending, .closing: break
        }
        state = .closing
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { return handshakeCompleted(context) }
        guard case ChannelEvent.inputClosed = event else { return context.fireUserInboundEventTriggered(event) }
        // The client sends no more, but may still read.
        isInputClosed = true
        closesAfterResponse = true
        switch state {
        case .idle, .receiving, .closing: close()
        case .asking, .streaming, .sending: break
        }
    }

    private func handshakeCompleted(_ context: ChannelHandlerContext) {
        // Without it, TLS had not come so far.
        guard let certificate = try? context.channel.pipeline.syncOperations.nioSSL_peerCertificate() else {
            return close()
        }
        identities = certificate.identities
        // A resumed session is not verified again.
        validUntil = Int64(certificate.notValidAfter)
        guard validUntil > wallSeconds() else { return close() }
        deadline.enter(.idle)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard case .streaming(let exchange, _) = state else { return }
        if context.channel.isWritable {
            deadline.enter(.answering)
            exchange.resume()
        } else {
            deadline.enter(.sending)
            exchange.pause()
        }
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .idle):
            state = .receiving(head, bodyBytes: 0)
            if !head.isKeepAlive || head.version != .http1_1 { closesAfterResponse = true }
            // A client that asks before it sends its body, or has a long one, is told at once.
            let announced = head.headers["content-length"].first.flatMap { Int($0) } ?? 0
            if announced > engine.limits.bodyBytes || head.headers.contains(name: "expect") { refuseBody(of: head) }
        case (.body(let bytes), .receiving(let head, let count)):
            state = .receiving(head, bodyBytes: count + bytes.readableBytes)
            if count + bytes.readableBytes > engine.limits.bodyBytes { refuseBody(of: head) }
        case (.end, .receiving(let head, let bodyBytes)):
            answer(head, bodyBytes: bodyBytes)
        case (.head, _), (.body, _), (.end, _):
            break  // The rest of a request that has been refused.
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else {
            // That it left without a good-bye is nothing to tell.
            if let error = error as? NIOSSLError, case .handshakeFailed = error {
                engine.refusals.count(.handshakeFailed)
                engine.strangers.report("a TLS client: \(error)")
            }
            return close()
        }
        let head: HTTPRequestHead?
        switch state {
        case .idle: head = nil
        case .receiving(let received, _): head = received
        case .asking, .streaming, .sending, .closing: return
        }
        closesAfterResponse = true
        if error == .headerOverflow {
            let problem = Problem(
                .requestMalformed, "the request's head is longer than \(engine.limits.headerBytes) bytes")
            refuse(Response(problem, status: 431), problem, to: head)
        } else {
            let problem = Problem(.requestMalformed, "the request is not HTTP/1.1: \(error)")
            refuse(Response(problem), problem, to: head)
        }
    }

    private func refuseBody(of head: HTTPRequestHead) {
        closesAfterResponse = true
        refuse(Response(RequestReader.bodyRefusal), RequestReader.bodyRefusal.problem, to: head)
    }

    private func answer(_ head: HTTPRequestHead, bodyBytes: Int) {
        do throws(Refusal) {
            guard validUntil > wallSeconds() else { return close() }
            guard admits() else { throw Self.tooManyRequests }
            switch try reader.decision(on: head, bodyBytes: bodyBytes, of: identities) {
            case .ask(let frame, let isProbe):
                ask(frame, within: isProbe ? engine.limits.probeTime : engine.limits.answerTime, for: head, format: nil)
            case .follow(let frame, let format):
                ask(frame, within: engine.limits.answerTime, for: head, format: format)
            }
        } catch {
            refuse(Response(error), error.problem, to: head)
        }
    }

    private func refuse(_ response: Response, _ problem: Problem, to head: HTTPRequestHead?) {
        engine.refusals.count(code: problem.code.rawValue)
        send(response, to: head)
    }

    private static let tooManyRequests = Refusal(
        problem: Problem(
            .rateExceeded, "this client asks for too many things in a second", hint: "wait a second, and ask for less"))

    // MARK: Replies

    /// - Parameter format: How to write items, where there may be any.
    private func ask(_ frame: Frame, within time: Duration, for head: HTTPRequestHead, format: StreamFormat?) {
        guard let context else { return }
        let exchange = EngineExchange(frame, to: engine, within: time, on: context.eventLoop) { [weak self] reply in
            self?.received(reply, format: format)
        }
        state = .asking(head, exchange)
        deadline.enter(.answering)
        exchange.begin()
    }

    private func received(_ reply: EngineExchange.Reply, format: StreamFormat?) {
        switch (reply, state) {
        case (.answer(let payload), .asking(let head, _)):
            guard let response = Response(answer: payload, with: engine.refusals) else { return fail(head) }
            send(response, to: head)
        case (.unavailable(let problem), .asking(let head, _)):
            send(Response(problem), to: head)
        case (.item(let item), .asking(let head, let exchange)):
            guard let format else {
                exchange.cancel()
                return fail(head)
            }
            begin(format, for: head, from: exchange)
            write(item, format)
        case (.end, .asking(let head, let exchange)):
            guard let format else { return fail(head) }
            begin(format, for: head, from: exchange)
            endStream()
        case (.cutOff, .asking(let head, _)):
            fail(head)
        case (.item(let item), .streaming(_, let format)):
            write(item, format)
        case (.end, .streaming):
            endStream()
        case (.answer, .streaming), (.unavailable, .streaming), (.cutOff, .streaming):
            // Without the last chunk the client knows that the stream is not whole.
            state = .closing
            context?.close(promise: nil)
        case (_, .idle), (_, .receiving), (_, .sending), (_, .closing):
            break
        }
    }

    private func fail(_ head: HTTPRequestHead) {
        engine.troubles.report("the engine's reply to \(head.method) is not one that HTTP can carry")
        send(Response(Problem(.internalError, "the engine's reply makes no sense")), to: head)
    }

    private func begin(_ format: StreamFormat, for head: HTTPRequestHead, from exchange: EngineExchange) {
        state = .streaming(exchange, format)
        lastItem = nil
        write(
            head: HTTPResponseHead(
                version: head.version, status: .ok,
                headers: ["Content-Type": format.contentType, "Cache-Control": "no-store"]))
    }

    private func write(_ item: [UInt8], _ format: StreamFormat) {
        guard let context else { return }
        var bytes = context.channel.allocator.buffer(capacity: item.count + 8)
        switch format {
        case .lines:
            bytes.writeBytes(item)
            bytes.writeStaticString("\n")
        case .serverSentEvents:
            bytes.writeStaticString("data: ")
            bytes.writeBytes(item)
            bytes.writeStaticString("\n\n")
        }
        lastItem = context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(bytes))))
    }

    private func endStream() {
        guard let context else { return }
        state = .sending
        deadline.enter(.sending)
        let written = lastItem ?? context.eventLoop.makeSucceededVoidFuture()
        written.assumeIsolated().whenSuccess { [weak self] in self?.finishResponse() }
    }

    private func send(_ response: Response, to request: HTTPRequestHead?) {
        guard let context else { return }
        state = .sending
        deadline.enter(.sending)
        write(
            head: HTTPResponseHead(
                version: request?.version ?? .http1_1, status: HTTPResponseStatus(statusCode: response.status),
                headers: response.headers))
        let bytes = context.channel.allocator.buffer(bytes: request?.method == .HEAD ? [] : response.body)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(bytes))))
            .assumeIsolated().whenSuccess { [weak self] in self?.finishResponse() }
    }

    private func write(head: HTTPResponseHead) {
        var head = head
        if closesAfterResponse { head.headers.add(name: "Connection", value: "close") }
        context?.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    private func finishResponse() {
        guard let context, case .sending = state else { return }
        guard closesAfterResponse else {
            state = .idle
            deadline.enter(.idle)
            // This may bring the next request in, before it returns.
            return context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
        state = .closing
        deadline.enter(.lingering)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenSuccess { [self] in
            self.context?.close(mode: isInputClosed ? .all : .output, promise: nil)
        }
    }
}
