internal import CLinux
internal import CNetlink
internal import Glibc
internal import LinuxSystem

/// A route netlink socket, bound for life to the network namespace of the thread that opened it. It serves one
/// request at a time and belongs to one owner.
///
/// The protocol is `rtnetlink(7)`.
package final class NetlinkSocket {
    private let descriptor: OwnedDescriptor
    private var sequence: UInt32 = 0

    /// Called before each request that changes something; what it throws ends the request unsent.
    package var willChange: ((_ call: String, _ subject: String) throws(NetlinkError) -> Void)?

    /// Open as long as this socket is held.
    package var rawValue: Int32 { descriptor.rawValue }

    private static let answerTimeout = timeval(tv_sec: 5, tv_usec: 0)
    private static let dumpAttempts = 10

    /// Opens a socket in the current thread's network namespace.
    ///
    /// The corresponding system call is `socket(2)`.
    package init() throws(NetlinkError) {
        do throws(SystemCallError) {
            descriptor = OwnedDescriptor(
                adopting: try systemCall("socket", on: "NETLINK_ROUTE") {
                    socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), NETLINK_ROUTE)
                })
            // Nobody else can send to it: whoever is root in the namespace could fill its buffer.
            var kernel = sockaddr_nl()
            kernel.nl_family = sa_family_t(AF_NETLINK)
            let raw = descriptor.rawValue
            try systemCall("connect", on: "NETLINK_ROUTE") {
                withUnsafeBytes(of: &kernel) {
                    connect(raw, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
                }
            }
            // The kernel's reasons as text, and without the whole request before them.
            try set(SOL_NETLINK, NETLINK_EXT_ACK, "NETLINK_EXT_ACK", to: Int32(1))
            try set(SOL_NETLINK, NETLINK_CAP_ACK, "NETLINK_CAP_ACK", to: Int32(1))
            try set(SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO", to: Self.answerTimeout)
        } catch {
            throw NetlinkError(error)
        }
    }

    /// A number that no other network namespace of this boot has or had. Linux 5.14.
    ///
    /// The corresponding system call is `getsockopt(2)` with `SO_NETNS_COOKIE`.
    package func namespaceCookie() throws(NetlinkError) -> UInt64 {
        var cookie: UInt64 = 0
        do {
            try systemCall("getsockopt", on: "SO_NETNS_COOKIE") { clinux_netns_cookie(descriptor.rawValue, &cookie) }
        } catch {
            throw NetlinkError(error)
        }
        return cookie
    }

    private func set<Value: BitwiseCopyable>(
        _ level: Int32, _ option: Int32, _ name: String, to value: Value
    ) throws(SystemCallError) {
        try systemCall("setsockopt", on: name) {
            withUnsafeBytes(of: value) {
                setsockopt(descriptor.rawValue, level, option, $0.baseAddress, socklen_t($0.count))
            }
        }
    }
}

extension NetlinkSocket {
    /// Sends a request and waits until the kernel has carried it out.
    func change(_ request: borrowing NetlinkRequest, on subject: String) throws(NetlinkError) {
        try willChange?(request.call, subject)
        try send(request, on: subject)
        while true {
            for message in try receive(request.call, on: subject) where message.type == NLMSG_ERROR {
                return try check(message, request.call, on: subject)
            }
        }
    }

    /// Asks about one thing that there is.
    func ask(_ request: borrowing NetlinkRequest, on subject: String) throws(NetlinkError) -> NetlinkMessage {
        try send(request, on: subject)
        var answer: NetlinkMessage?
        while true {
            for message in try receive(request.call, on: subject) {
                guard message.type == NLMSG_ERROR else {
                    answer = message
                    continue
                }
                try check(message, request.call, on: subject)
                guard let answer else { throw NetlinkError(request.call, on: subject, errno: Errno(rawValue: EBADMSG)) }
                return answer
            }
        }
    }

    /// Asks for a list. An empty one means that there is nothing; that it could not be had is always an error.
    func dump<Element>(
        _ request: borrowing NetlinkRequest, on subject: String, _ decode: (NetlinkMessage) -> Element?
    ) throws(NetlinkError) -> [Element] {
        for _ in 0..<Self.dumpAttempts {
            try send(request, on: subject)
            if let messages = try receiveDump(request.call, on: subject) { return messages.compactMap(decode) }
        }
        throw NetlinkError(
            request.call, on: subject, errno: .busy, kernelMessage: "the list kept changing while it was read")
    }

    /// More than anybody has who does not want to hold others up: a target may be root in its own network.
    private static let mostElements = 65_536

    /// Nil when something changed during the dump, so that it may lack elements or hold one twice.
    ///
    /// - Throws: `E2BIG` for more elements than anybody needs, once all have been read: what is not taken off the socket would
    ///   be in the way of the next request.
    private func receiveDump(_ call: String, on subject: String) throws(NetlinkError) -> [NetlinkMessage]? {
        var collected: [NetlinkMessage] = []
        var isConsistent = true
        var count = 0
        while true {
            for message in try receive(call, on: subject) {
                if message.flags & NLM_F_DUMP_INTR != 0 { isConsistent = false }
                switch Int32(message.type) {
                case NLMSG_DONE, NLMSG_ERROR:
                    try check(message, call, on: subject)
                    guard count <= Self.mostElements else {
                        throw NetlinkError(
                            call, on: subject, errno: Errno(rawValue: E2BIG),
                            kernelMessage: "\(count) entries, more than \(Self.mostElements)")
                    }
                    return isConsistent ? collected : nil
                case NLMSG_NOOP: continue
                case NLMSG_OVERRUN: throw NetlinkError(call, on: subject, errno: Errno(rawValue: ENOBUFS))
                default:
                    count += 1
                    if count <= Self.mostElements { collected.append(message) } else { collected = [] }
                }
            }
        }
    }

    private func send(_ request: borrowing NetlinkRequest, on subject: String) throws(NetlinkError) {
        sequence &+= 1
        let bytes = request.bytes(sequence: sequence)
        do {
            try systemCall("send \(request.call)", on: subject) {
                Glibc.send(descriptor.rawValue, bytes, bytes.count, 0)
            }
        } catch {
            throw NetlinkError(error)
        }
    }

    /// The next datagram's messages that answer the request under way. Others answer one that was given up, or come
    /// from a process that found out this socket's address: only the kernel speaks as port 0.
    private func receive(_ call: String, on subject: String) throws(NetlinkError) -> [NetlinkMessage] {
        do throws(SystemCallError) {
            // The true length, without taking the datagram.
            let length = try systemCall("recv \(call)", on: subject) {
                recv(descriptor.rawValue, nil, 0, Int32(MSG_PEEK | MSG_TRUNC))
            }
            var sender = sockaddr_nl()
            let datagram = try Array<UInt8>(receiving: length) { (buffer) throws(SystemCallError) in
                var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
                return try systemCall("recv \(call)", on: subject) {
                    withUnsafeMutableBytes(of: &sender) {
                        recvfrom(
                            descriptor.rawValue, buffer.baseAddress, buffer.count, 0,
                            $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
                    }
                }
            }
            guard sender.nl_pid == 0 else { return [] }
            return NetlinkMessage.messages(in: datagram).filter { $0.sequence == sequence }
        } catch {
            // What SO_RCVTIMEO makes of a timeout.
            throw error.errno == .wouldBlock
                ? NetlinkError(call, on: subject, errno: .timedOut) : NetlinkError(error)
        }
    }

    /// Reads the status of `NLMSG_ERROR` (0 acknowledges) or `NLMSG_DONE`: a negative error number, and after it the
    /// attributes of the extended acknowledgement, where the flags announce them.
    private func check(_ message: NetlinkMessage, _ call: String, on subject: String) throws(NetlinkError) {
        guard let status = message.header(Int32.self) else {
            throw NetlinkError(call, on: subject, errno: Errno(rawValue: EBADMSG))
        }
        if status == 0 { return }
        let isError = message.type == NLMSG_ERROR
        let attributes =
            isError ? message.attributes(after: nlmsgerr.self) : message.attributes(after: Int32.self)
        let hasText = message.flags & NLM_F_ACK_TLVS != 0
        throw NetlinkError(
            call, on: subject, errno: Errno(rawValue: -status),
            kernelMessage: hasText ? attributes.string(Int(NLMSGERR_ATTR_MSG.rawValue)) : nil)
    }
}

extension Array<UInt8> {
    fileprivate init<Failure: Error>(
        receiving capacity: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) {
        self.init(repeating: 0, count: capacity)
        var outcome: Result<Int, Failure> = .success(0)
        withUnsafeMutableBytes { buffer in
            do throws(Failure) {
                outcome = .success(try body(buffer))
            } catch {
                outcome = .failure(error)
            }
        }
        removeLast(try capacity - outcome.get())
    }
}
