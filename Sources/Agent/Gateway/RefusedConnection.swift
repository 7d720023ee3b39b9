import NIOCore

/// A connection beyond the limit: it is told so before it has asked anything, and closed.
final class RefusedConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let response: Response
    private let lingerTime: Duration
    private var timer: Scheduled<Void>?

    init(_ response: Response, lingerTime: Duration) {
        self.response = response
        self.lingerTime = lingerTime
    }

    func channelActive(context: ChannelHandlerContext) {
        let bytes = context.channel.allocator.buffer(bytes: response.closingBytes)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        context.close(mode: .output, promise: nil)
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.value.eventLoop.scheduleTask(in: TimeAmount(lingerTime)) {
            context.value.close(promise: nil)
        }
    }

    /// What the client sends is dropped: closing with bytes unread would reset the connection.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
    }
}
