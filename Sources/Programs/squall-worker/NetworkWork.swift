internal import Glibc
internal import LinuxSystem
internal import WorkerProtocol

/// Starts the threads that send, one for each of the sockets that this program was given, when all of them are connected.
///
/// - Parameter onFailure: Called by a thread that cannot go on, with the reason.
func startNetworkLoad(
    _ load: NetworkLoad, onFailure: @escaping @Sendable (String) -> Never
) throws(SystemCallError) {
    let sockets = (0..<Int32(load.sockets)).map { WorkerTask.firstFile + $0 }
    for socket in sockets { try waitUntilConnected(socket, to: load.sink) }
    for socket in sockets {
        let sender = Sender(load, on: socket)
        let thread = try startThread {
            do throws(SystemCallError) {
                try sender.run()
            } catch {
                let isOver = load.transport == .tcp
                onFailure(isOver ? "the connection to \(load.sink) ended: \(error.errno)" : "\(error)")
            }
        }
        pthread_detach(thread)
    }
}

/// How long a sink may take to answer.
private let connectPatience: Int32 = 5000

private func waitUntilConnected(_ socket: Int32, to sink: InternetAddress) throws(SystemCallError) {
    var wait = [
        pollfd(fd: socket, events: Int16(POLLOUT), revents: 0),
        // The engine never writes, so whatever happens here is its end, which is seen when this has returned.
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
    ]
    let ready = try systemCall("poll", on: "\(sink)") { poll(&wait, nfds_t(wait.count), connectPatience) }
    if ready == 0 { throw SystemCallError("connect", on: "\(sink)", errno: .timedOut) }
    if let failure = try socketError(of: socket) { throw SystemCallError("connect", on: "\(sink)", errno: failure) }
}

/// Writes block after block to a socket, each when it is due: on average never faster than asked.
private final class Sender: Sendable {
    /// What waits longer than this to be sent is not made up for: after a pause there is no flood.
    private static let mostOwed: Double = 50_000_000
    /// Fast ones send what is due together, and sleep so long in between.
    private static let tick: Double = 500_000

    private let socket: Int32
    private let sink: InternetAddress
    private let transport: InternetTransport
    private let block: [UInt8]
    private let nanosecondsPerByte: Double

    init(_ load: NetworkLoad, on socket: Int32) {
        self.socket = socket
        sink = load.sink
        transport = load.transport
        nanosecondsPerByte = 8e9 * Double(load.sockets) / Double(load.bitsPerSecond)
        // Nothing that anything on the way could compress.
        var numbers = Xorshift(seed: UInt64(socket))
        block = (0..<load.blockSize).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
    }

    func run() throws(SystemCallError) -> Never {
        let begun = now(CLOCK_MONOTONIC)
        /// In nanoseconds since then.
        var due: Double = 0
        while true {
            if transport == .tcp { try discardWhatArrived() }
            let instant = Double(now(CLOCK_MONOTONIC) - begun)
            due = max(due, instant - Self.mostOwed)
            while due <= instant {
                guard let written = try send() else {
                    try waitForRoom()
                    break
                }
                due += Double(written) * nanosecondsPerByte
            }
            sleep(until: begun + Int64(max(due, Double(now(CLOCK_MONOTONIC) - begun) + Self.tick)))
        }
    }

    /// Returns how much of a block was sent, or lost on its way out; 0 when it is to be tried again, nil where there is no
    /// room.
    private func send() throws(SystemCallError) -> Int? {
        let socket = socket
        do throws(SystemCallError) {
            return try systemCall("write", on: "\(sink)") {
                block.withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
            }
        } catch let error where error.errno == .wouldBlock {
            return nil
        } catch let error where transport == .udp && error.errno == .connectionRefused {
            // What became of an earlier one: nobody is at the sink's port, which is no reason to stop.
            return 0
        } catch let error where transport == .udp && Self.losses.contains(error.errno.rawValue) {
            return block.count
        }
    }

    /// What a datagram may meet: nobody at the sink's address, no route for now, a filter, a full queue.
    private static let losses = [
        EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN, ENOPROTOOPT, EACCES, EPERM, ENOBUFS,
    ]

    private func waitForRoom() throws(SystemCallError) {
        var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        // Whoever sends and waits for its answer to be taken is not left waiting.
        try systemCall("poll", on: "\(sink)") { poll(&wait, 1, 100) }
    }

    /// Over UDP the kernel throws it away by itself when there is no room.
    private func discardWhatArrived() throws(SystemCallError) {
        let socket = socket
        do throws(SystemCallError) {
            try systemCall("recv", on: "\(sink)") {
                recv(socket, nil, 1 << 20, Int32(MSG_TRUNC | MSG_DONTWAIT))
            }
        } catch let error where error.errno == .wouldBlock {}
    }
}
