import AgentAPI
import NIOCore

/// The connections to the engine that carry nothing now. On the loop.
final class EngineLinks {
    /// More are closed: they are for requests that follow each other, not for a crowd.
    private static let most = 16

    private var resting: [EngineLink] = []

    /// One that nobody uses, if there is one.
    func take() -> EngineLink? { resting.popLast() }

    /// Keeps a connection whose last exchange was answered whole.
    func rest(_ link: EngineLink) {
        guard link.rest() else { return }
        if resting.count < Self.most { resting.append(link) } else { link.close() }
    }

    fileprivate func remove(_ link: EngineLink) {
        resting.removeAll { $0 === link }
    }
}

/// One connection to the engine: frames out, bytes to frames in. It carries one exchange at a time, and is closed as soon as
/// anything comes that nobody has asked for.
final class EngineLink: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let channel: any Channel
    private let links: EngineLinks
    private var exchange: EngineExchange?
    private var decoder = FrameDecoder()

    init(_ channel: any Channel, of links: EngineLinks, carrying exchange: EngineExchange) {
        self.channel = channel
        self.links = links
        self.exchange = exchange
    }

    func carry(_ frame: Frame, for exchange: EngineExchange) {
        self.exchange = exchange
        channel.writeAndFlush(channel.allocator.buffer(bytes: frame.encoded), promise: nil)
        channel.read()
    }

    func read() {
        channel.read()
    }

    func close() {
        exchange = nil
        channel.close(promise: nil)
    }

    /// False when it is of no further use.
    fileprivate func rest() -> Bool {
        exchange = nil
        guard channel.isActive, decoder.isEmpty else {
            close()
            return false
        }
        // Its end is noticed.
        channel.read()
        return true
    }

    func channelActive(context: ChannelHandlerContext) {
        exchange?.begin(on: self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data).readableBytesView)
        do throws(FrameError) {
            while let frame = try decoder.next() {
                guard let exchange else { return close() }
                exchange.received(frame)
            }
        } catch {
            exchange?.receivedNonsense("\(error)")
            close()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let exchange { exchange.finishedReading() } else { context.read() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The connection is of no further use; `channelInactive` says so to the exchange.
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        links.remove(self)
        let exchange = exchange
        self.exchange = nil
        exchange?.connectionBroke("connection closed")
    }
}
