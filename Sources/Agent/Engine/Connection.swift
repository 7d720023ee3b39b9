import AgentAPI
import Dispatch
import Glibc
import LinuxSystem

/// One accepted connection: a request frame, then replies as fast as the other side takes them; and so again, if another
/// request may follow.
/// Touched on the server's queue only.
final class Connection {
    let isOperator: Bool
    /// What answers the request; the connection owns it and cancels it when the other side goes.
    var work: Task<Void, Never>?

    /// Closed when neither this nor a Dispatch source looks at it any more.
    private let socket: SharedSocket
    private var descriptor: Int32 { socket.descriptor.rawValue }
    private let queue: DispatchQueue
    private var reading: DescriptorWatch?
    private var writeSource: (any DispatchSourceWrite)?
    private var decoder = FrameDecoder()
    private var hasRequest = false
    /// How many requests there were: what is said to one is not said to the next.
    private(set) var requestCount = 0
    /// Bytes of the next request that came before this one was over.
    private var earlyBytes = 0
    /// A token has a quarter of it.
    private static let mostEarlyBytes = 65536
    private var isAnswered = false
    private var isOpen = true
    private var isFinishing = false
    private var outgoing: ArraySlice<UInt8> = []
    private var drained: CheckedContinuation<Bool, Never>?
    private var onClose: () -> Void = {}
    private var onRequest: (Frame) -> Void = { _ in }

    init(socket: consuming OwnedDescriptor, isOperator: Bool, queue: DispatchQueue) {
        self.isOperator = isOperator
        self.queue = queue
        self.socket = SharedSocket(descriptor: socket)
    }

    func start(onClose: @escaping () -> Void, onRequest: @escaping (Frame) -> Void) {
        self.onClose = onClose
        self.onRequest = onRequest
        nonisolated(unsafe) let connection = self
        reading = DescriptorWatch(
            descriptor, on: queue,
            onCancel: { [socket] in withExtendedLifetime(socket) {} },
            onReadable: { connection.readable() })
    }

    /// Everything was said: closes once it has been sent.
    func finish() {
        isFinishing = true
        if outgoing.isEmpty { close() }
    }

    /// Everything was said, and has been sent: another request may come.
    func rest() {
        work = nil
        hasRequest = false
        earlyBytes = 0
        takeRequest()
    }

    /// Returns when the bytes are with the kernel, so a slow reader slows its own stream and nothing else.
    /// False when the other side is gone.
    func send(_ frame: Frame, isolation: isolated any Actor = #isolation) async -> Bool {
        // There is one answer, or one end of a stream.
        guard isOpen, !isAnswered else { return false }
        isAnswered = frame.kind == .answer || frame.kind == .end
        outgoing += frame.encoded
        writable()
        if outgoing.isEmpty || !isOpen { return isOpen }
        return await withCheckedContinuation { drained = $0 }
    }

    private func readable() {
        var chunk = [UInt8](repeating: 0, count: 16384)
        let count = chunk.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count > 0 else { return close() }
        decoder.append(chunk[..<count])
        guard !hasRequest else {
            // The gateway may have read the answer before it is known here that all was said.
            earlyBytes += count
            if isOperator || earlyBytes > Self.mostEarlyBytes { close() }
            return
        }
        takeRequest()
    }

    private func takeRequest() {
        do {
            guard let frame = try decoder.next() else { return }
            hasRequest = true
            isAnswered = false
            requestCount += 1
            onRequest(frame)
        } catch {
            close()
        }
    }

    private func writable() {
        while !outgoing.isEmpty {
            let count = outgoing.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return awaitWritable() }
            guard count >= 0 else { return close() }
            outgoing = outgoing.dropFirst(count)
        }
        // An empty slice would keep all that was sent.
        outgoing = []
        writeSource?.cancel()
        writeSource = nil
        drained?.resume(returning: true)
        drained = nil
        if isFinishing { close() }
    }

    private func awaitWritable() {
        guard writeSource == nil else { return }
        let source = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        nonisolated(unsafe) let connection = self
        source.setEventHandler { @Sendable in connection.writable() }
        source.setCancelHandler { @Sendable [socket] in withExtendedLifetime(socket) {} }
        source.resume()
        writeSource = source
    }

    private func close() {
        guard isOpen else { return }
        isOpen = false
        work?.cancel()
        writeSource?.cancel()
        writeSource = nil
        reading?.cancel()
        reading = nil
        drained?.resume(returning: false)
        drained = nil
        onClose()
        onClose = {}
        onRequest = { _ in }
    }
}

private final class SharedSocket: Sendable {
    let descriptor: OwnedDescriptor

    init(descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }
}
