import Glibc

package enum InternetTransport: String, CaseIterable, Hashable, Sendable {
    case udp
    case tcp
}

/// An IPv4 or IPv6 address with a port.
package struct InternetAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16 bytes.
    package let bytes: [UInt8]
    package let port: UInt16

    package init(bytes: [UInt8], port: UInt16) {
        precondition(bytes.count == 4 || bytes.count == 16, "an address has 4 or 16 bytes")
        self.bytes = bytes
        self.port = port
    }

    /// Reads what `description` writes. Nil for anything else, for port 0, and for IPv4 addresses written as IPv6 ones.
    package init?(text: String) {
        // inet_pton reads no further than a zero byte.
        guard !text.utf8.contains(0), let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = UInt16(digits), port > 0 else { return nil }
        let host = text[..<colon]
        let isIPv6 = host.hasPrefix("[") && host.hasSuffix("]")
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        let address = isIPv6 ? String(host.dropFirst().dropLast()) : String(host)
        guard inet_pton(isIPv6 ? AF_INET6 : AF_INET, address, &bytes) == 1 else { return nil }
        if isIPv6, bytes.starts(with: [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]) { return nil }
        self.init(bytes: bytes, port: port)
    }

    /// A host as it stands before a port: an IPv6 address in brackets.
    package static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

    /// As `10.1.2.3:53` and `[fd00::1]:53`.
    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(Int32(family), bytes, &text, socklen_t(text.count)) != nil else {
            preconditionFailure("an address that inet_ntop does not know")
        }
        let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return "\(Self.bracketed(address)):\(port)"
    }

    fileprivate var family: sa_family_t { sa_family_t(bytes.count == 4 ? AF_INET : AF_INET6) }

    /// Lends it as the kernel wants it.
    fileprivate func withSocketAddress<Value>(_ body: (UnsafePointer<sockaddr>?, socklen_t) -> Value) -> Value {
        func lend<Address>(_ address: Address) -> Value {
            withUnsafeBytes(of: address) {
                body($0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
            }
        }
        if bytes.count == 4 {
            var address = sockaddr_in()
            address.sin_family = family
            address.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            return lend(address)
        }
        var address = sockaddr_in6()
        address.sin6_family = family
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
        return lend(address)
    }
}

extension OwnedDescriptor {
    /// A socket in the calling thread's network namespace that exchanges data with one peer and with no other, and never
    /// blocks. Over UDP nothing is sent before somebody writes. Over TCP the connection is under way when this returns:
    /// the socket becomes writable when it is there, or when there will be none, for the reason that `SO_ERROR` gives. When
    /// its last descriptor is closed it is reset, and the kernel forgets what was not sent yet.
    ///
    /// - Throws: `ENETUNREACH` where no route leads to the peer, `EACCES` for a broadcast address.
    ///
    /// The corresponding system calls are `socket(2)` and `connect(2)`.
    package static func connected(
        to peer: InternetAddress, over transport: InternetTransport
    ) throws(SystemCallError) -> OwnedDescriptor {
        let (type, number) =
            switch transport {
            case .udp: (SOCK_DGRAM, IPPROTO_UDP)
            case .tcp: (SOCK_STREAM, IPPROTO_TCP)
            }
        let flags = SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket", on: transport.rawValue) {
                socket(Int32(peer.family), Int32(type.rawValue | flags), Int32(number))
            })
        if transport == .tcp { try descriptor.resetWhenClosed() }
        for option in [SO_SNDBUF, SO_RCVBUF] { try descriptor.limitBuffer(option) }
        let raw = descriptor.rawValue
        do throws(SystemCallError) {
            try systemCall("connect", on: "\(peer)") { peer.withSocketAddress { connect(raw, $0, $1) } }
        } catch let error where error.errno == .inProgress {
            return descriptor
        }
        return descriptor
    }

    /// How many connections may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
    package static let backlog: Int32 = 4096

    /// A TCP socket that takes connections, and never blocks. At `[::]` it takes those of IPv4, too.
    ///
    /// - Throws: `EADDRINUSE`, `EADDRNOTAVAIL` where no interface has the address, `EACCES` for a privileged port.
    ///
    /// The corresponding system calls are `socket(2)`, `bind(2)` and `listen(2)`.
    package static func listening(at address: InternetAddress) throws(SystemCallError) -> OwnedDescriptor {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket", on: "\(address)") {
                socket(Int32(address.family), Int32(type), Int32(IPPROTO_TCP))
            })
        let raw = descriptor.rawValue
        for (level, option, value) in [
            // Connections of an earlier agent that are not quite over do not hold the address.
            (SOL_SOCKET, SO_REUSEADDR, 1),
            // Accepted connections inherit it: one whose other end has vanished is over after a minute.
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 30),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 10),
            (Int32(IPPROTO_TCP), TCP_KEEPCNT, 3),
        ] as [(Int32, Int32, Int32)] {
            try systemCall("setsockopt", on: "\(address), option \(option)") {
                withUnsafeBytes(of: value) { setsockopt(raw, level, option, $0.baseAddress, socklen_t($0.count)) }
            }
        }
        try systemCall("bind", on: "\(address)") { address.withSocketAddress { bind(raw, $0, $1) } }
        try systemCall("listen", on: "\(address)") { listen(raw, backlog) }
        return descriptor
    }

    /// What waits in a socket is charged to who made it, however slow its peer is.
    private func limitBuffer(_ option: Int32) throws(SystemCallError) {
        let raw = rawValue
        let most = Int32(1 << 20)
        try systemCall("setsockopt", on: option == SO_SNDBUF ? "SO_SNDBUF" : "SO_RCVBUF") {
            withUnsafeBytes(of: most) { setsockopt(raw, SOL_SOCKET, option, $0.baseAddress, socklen_t($0.count)) }
        }
    }

    private func resetWhenClosed() throws(SystemCallError) {
        let raw = rawValue
        let atOnce = linger(l_onoff: 1, l_linger: 0)
        try systemCall("setsockopt", on: "SO_LINGER") {
            withUnsafeBytes(of: atOnce) { setsockopt(raw, SOL_SOCKET, SO_LINGER, $0.baseAddress, socklen_t($0.count)) }
        }
    }

    /// Which of its addresses a connected socket of the internet sends from.
    ///
    /// The corresponding system call is `getsockname(2)`.
    package func ownInternetAddress() throws(SystemCallError) -> InternetAddress {
        let raw = rawValue
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try systemCall("getsockname", on: "descriptor \(raw)") {
            withUnsafeMutableBytes(of: &storage) {
                getsockname(raw, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
            }
        }
        return withUnsafeBytes(of: storage) { bytes in
            if Int32(storage.ss_family) == AF_INET {
                let address = bytes.loadUnaligned(as: sockaddr_in.self)
                return InternetAddress(
                    bytes: withUnsafeBytes(of: address.sin_addr) { Array($0) },
                    port: UInt16(bigEndian: address.sin_port))
            }
            let address = bytes.loadUnaligned(as: sockaddr_in6.self)
            return InternetAddress(
                bytes: withUnsafeBytes(of: address.sin6_addr) { Array($0) }, port: UInt16(bigEndian: address.sin6_port))
        }
    }

}

/// What a socket has failed for since it was asked last, as a connection that was under way; nil for nothing.
///
/// The corresponding system call is `getsockopt(2)` with `SO_ERROR`.
package func socketError(of descriptor: Int32) throws(SystemCallError) -> Errno? {
    var error: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try systemCall("getsockopt", on: "SO_ERROR") { getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) }
    return error == 0 ? nil : Errno(rawValue: error)
}
