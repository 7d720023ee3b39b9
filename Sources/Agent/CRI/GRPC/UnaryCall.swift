internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// One unary call on a stream of its own: sends the request when the stream opens, and completes `response`.
/// A call that fails, here or at its deadline, gives its stream up; one that succeeds has ended it.
final class UnaryCall: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let headers: HPACKHeaders
    private let message: ByteBuffer
    private let response: EventLoopPromise<ByteBuffer>
    private var received = UnaryResponse()

    init(
        _ method: String, _ message: ByteBuffer, before deadline: NIODeadline, response: EventLoopPromise<ByteBuffer>
    ) {
        let milliseconds = max(1, (deadline - .now()).nanoseconds / 1_000_000)
        headers = [
            ":method": "POST",
            ":scheme": "http",
            // The socket's path, which some clients send, is refused by some servers.
            ":authority": "localhost",
            ":path": method,
            "te": "trailers",
            "content-type": "application/grpc",
            "grpc-timeout": "\(milliseconds)m",
        ]
        self.message = message
        self.response = response
    }

    func channelActive(context: ChannelHandlerContext) {
        var body = ByteBuffer()
        body.writeInteger(UInt8(0))  // not compressed
        body.writeInteger(UInt32(message.readableBytes))
        body.writeImmutableBuffer(message)
        context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
        context.writeAndFlush(
            wrapOutboundOut(.data(.init(data: .byteBuffer(body), endStream: true))), promise: nil)
        let channel = context.channel
        response.futureResult.whenFailure { _ in channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do throws(CallFailure) {
            switch unwrapInboundIn(data) {
            case .headers(let headers):
                if let message = try received.receive(headers.headers, endsStream: headers.endStream) {
                    response.succeed(message)
                }
            case .data(let data):
                guard case .byteBuffer(let bytes) = data.data else { return }
                try received.receive(bytes, endsStream: data.endStream)
            case .priority, .rstStream, .settings, .pushPromise, .ping, .goAway, .windowUpdate, .alternativeService,
                .origin:
                return
            }
        } catch {
            response.fail(error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        response.fail(CallFailure.unreachable("the runtime closed the connection amid a call"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        response.fail(CallFailure.unreachable("\(error)"))
    }
}
