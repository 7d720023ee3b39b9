import Glibc
package import LinuxSystem

/// A connection over TCP, with TLS or without. Nothing waits longer than it is told.
package final class TCPStream {
    // In this order: what says good-bye does so before the descriptor is closed, and may be another's.
    private let tls: TLSConnection?
    private let descriptor: OwnedDescriptor

    /// - Parameter trust: Nil for a connection that anybody on the way can read.
    /// - Throws: When the host has no address, or none of them answers.
    package init(
        to host: String, port: UInt16, trust: TLSTrust? = nil, until deadline: BootInstant
    ) throws(HTTPError) {
        let connected = try Self.connected(to: host, port: port, until: deadline)
        let raw = connected.rawValue
        descriptor = connected
        tls = try trust.map { (trust) throws(HTTPError) in
            try TLSConnection(over: raw, to: host, trust: trust, until: deadline)
        }
    }

    /// A socket that does not block, connected to the first of the host's addresses that answers.
    ///
    /// - Throws: When the host has no address, or none of them answers.
    package static func connected(
        to host: String, port: UInt16, until deadline: BootInstant
    ) throws(HTTPError) -> OwnedDescriptor {
        var refusal = HTTPError(reason: "no address")
        for address in try PeerAddress.all(of: host, port: port, until: deadline) {
            do throws(HTTPError) {
                return try connected(to: address, until: deadline)
            } catch {
                refusal = error
            }
        }
        throw refusal
    }

    private static func connected(
        to address: InternetAddress, until deadline: BootInstant
    ) throws(HTTPError) -> OwnedDescriptor {
        let socket: OwnedDescriptor
        do throws(SystemCallError) {
            socket = try OwnedDescriptor.connected(to: address, over: .tcp)
        } catch {
            throw HTTPError(reason: "cannot connect to \(address): \(error.errno)")
        }
        try socket.rawValue.wait(for: POLLOUT, until: deadline, "connecting to \(address)")
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(socket.rawValue, SOL_SOCKET, SO_ERROR, &failure, &length) == 0, failure == 0 else {
            throw HTTPError(reason: "cannot connect to \(address): \(Errno(rawValue: failure))")
        }
        return socket
    }

    package func send(_ bytes: [UInt8], until deadline: BootInstant?) throws(HTTPError) {
        var left = bytes[...]
        while !left.isEmpty {
            let count: Int
            if let tls {
                count = try tls.send(left, until: deadline)
                if count == 0 { throw HTTPError(reason: "send: the connection was closed") }
            } else {
                count = left.withUnsafeBytes {
                    Glibc.send(descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
            }
            if count >= 0 {
                left = left.dropFirst(count)
            } else if errno == EAGAIN {
                try descriptor.rawValue.wait(for: POLLOUT, until: deadline, "send")
            } else if errno != EINTR {
                throw HTTPError(reason: "send: \(Errno.current)")
            }
        }
    }

    /// The next bytes; empty when the other side has closed.
    package func receive(until deadline: BootInstant?) throws(HTTPError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count: Int
            if let tls {
                count = try tls.receive(into: &buffer, until: deadline)
            } else {
                count = buffer.withUnsafeMutableBytes { recv(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
            }
            if count >= 0 { return Array(buffer[..<count]) }
            if errno == EAGAIN {
                try descriptor.rawValue.wait(for: POLLIN, until: deadline, "receive")
            } else if errno != EINTR {
                throw HTTPError(reason: "receive: \(Errno.current)")
            }
        }
    }
}
