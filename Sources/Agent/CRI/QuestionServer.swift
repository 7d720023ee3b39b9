internal import AgentAPI
package import ContainerRuntimes
package import NIOCore
internal import NIOPosix

/// Answers the engine's questions: one question and one answer on each connection.
package enum QuestionServer {
    private static let maximumConnections = 64

    /// Serves on the calling thread, and needs no other, as long as the process lives.
    ///
    /// - Parameters:
    ///   - listeningSocket: Bound and listening; taken over.
    ///   - whenShutOut: Called when this user may not connect to one of Docker's sockets.
    ///   - whenListening: Called once, when questions are about to be answered or cannot be.
    package static func run(
        listeningSocket: Int32, places: [RuntimePlace], hidden: HiddenSockets,
        log: @escaping @Sendable (String) -> Void, whenShutOut: @escaping @Sendable () -> Void,
        whenListening: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        MultiThreadedEventLoopGroup.withCurrentThreadAsEventLoop { loop in
            let runtimes = RuntimeDirectory(
                places, hidden: hidden, on: loop, log: log, whenShutOut: whenShutOut)
            serve(runtimes, listeningSocket: listeningSocket, on: loop)
                .whenComplete { result in whenListening(result.map { _ in }) }
        }
    }

    /// - Parameter listeningSocket: Bound and listening; taken over.
    /// - Returns: The channel that accepts connections.
    package static func serve(
        _ runtimes: RuntimeDirectory, listeningSocket: Int32, on loop: any EventLoop
    ) -> EventLoopFuture<any Channel> {
        let open = NIOLoopBoundBox.makeBoxSendingValue(0, eventLoop: loop)
        let executor = LoopExecutor(loop)
        return ServerBootstrap(group: loop).childChannelInitializer { channel in
            guard open.value < maximumConnections else {
                return channel.eventLoop.makeFailedFuture(TooManyConnections())
            }
            open.value += 1
            channel.closeFuture.whenComplete { _ in open.value -= 1 }
            return channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(QuestionHandler(runtimes, executor))
            }
        }.withBoundSocket(listeningSocket)
    }

    private struct TooManyConnections: Error {}
}

/// One connection. Only the engine can connect, so what is no question is answered by hanging up.
private final class QuestionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let maximumLength = 16 << 10
    /// Longer than any question takes that says no more.
    private static let lifetime = TimeAmount.seconds(10)

    private let runtimes: RuntimeDirectory
    private let executor: LoopExecutor
    private var decoder = FrameDecoder()
    private var lengthLeft = maximumLength
    private var lifetime: Scheduled<Void>?
    private var answering: Task<Void, Never>?

    init(_ runtimes: RuntimeDirectory, _ executor: LoopExecutor) {
        self.runtimes = runtimes
        self.executor = executor
    }

    func channelActive(context: ChannelHandlerContext) {
        limitLifetime(of: context.channel, to: Self.lifetime)
    }

    func channelInactive(context: ChannelHandlerContext) {
        lifetime?.cancel()
        // Whoever hangs up takes its question back.
        answering?.cancel()
    }

    private func limitLifetime(of channel: any Channel, to time: TimeAmount) {
        lifetime?.cancel()
        lifetime = channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        lengthLeft -= bytes.readableBytes
        decoder.append(bytes.readableBytesView)
        do throws(FrameError) {
            guard lengthLeft >= 0 else { throw FrameError.badLength(UInt32(Self.maximumLength - lengthLeft)) }
            guard let frame = try decoder.next() else { return }
            guard frame.kind == .question, let question = RuntimeQuestion(payload: frame.payload) else {
                throw FrameError.unknownKind(frame.kind.rawValue)
            }
            limitLifetime(of: context.channel, to: Self.lifetime + TimeAmount(question.extraPatience))
            answer(question, on: context.channel)
        } catch {
            context.close(promise: nil)
        }
    }

    /// The task ends by itself: every question has a deadline.
    private func answer(_ question: RuntimeQuestion, on channel: any Channel) {
        answering = Task(executorPreference: executor) { [runtimes] in
            var frame = await runtimes.answer(question).answer.frame
            if frame.payload.count >= Frame.maximumLength {
                let failure = RuntimeFailure.refused(reason: "\(frame.payload.count) bytes are too long for an answer")
                frame = RuntimeAnswer.failure(failure).answer.frame
            }
            channel.writeAndFlush(ByteBuffer(bytes: frame.encoded)).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
