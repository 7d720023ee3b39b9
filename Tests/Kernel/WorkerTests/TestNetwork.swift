import Glibc
import LinuxSystem
import Namespaces
import Netlink
import Processes
import Testing
import WorkerProtocol

/// Hands out a network namespace of its own, in which loopback is up.
func inLoopbackNetwork(_ body: (borrowing NamespaceHandle) throws -> Void) throws {
    try withTemporaryNetworkNamespace { (namespace) throws in
        let loopback: Int32 = 1
        try namespace.run { () throws(NetlinkError) in try NetlinkSocket().setUp(link: loopback) }
        try body(namespace)
    }
}

/// Sockets are made in a namespace on a thread of its own; the test itself stays where it is, for on another thread its
/// expectations would be those of no test.
extension NamespaceHandle {
    private static let thread = Result { try NamespaceThread() }

    fileprivate func run<Value: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Value) throws -> Value {
        try Self.thread.get().run(inNetworkNamespaceOf: self, body)
    }

    func receiver(_ transport: InternetTransport, at address: [UInt8], backlog: Int32 = 16) throws -> Receiver {
        try run { () throws in try Receiver(transport, at: address, backlog: backlog) }
    }

    /// - Throws: As `OwnedDescriptor.connected`.
    func connected(to address: InternetAddress, over transport: InternetTransport) throws -> OwnedDescriptor {
        var refusal: SystemCallError?
        let descriptor = try run { () throws(Never) -> OwnedDescriptor? in
            do throws(SystemCallError) {
                return try OwnedDescriptor.connected(to: address, over: transport)
            } catch {
                refusal = error
                return nil
            }
        }
        if let refusal { throw refusal }
        guard let descriptor else { preconditionFailure("neither connected nor refused") }
        return descriptor
    }
}

/// A socket at a port of its own that receives what is sent there.
struct Receiver: ~Copyable {
    let descriptor: OwnedDescriptor
    let address: InternetAddress

    init(_ transport: InternetTransport, at address: [UInt8], backlog: Int32 = 16) throws {
        let family = address.count == 4 ? AF_INET : AF_INET6
        let type = transport == .udp ? SOCK_DGRAM : SOCK_STREAM
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket", on: "receiver") { socket(family, Int32(type.rawValue), 0) })
        let raw = descriptor.rawValue
        let largest = Int32(8 << 20)
        // Nothing is lost for want of room: SO_RCVBUFFORCE, which root may use.
        try systemCall("setsockopt", on: "receiver") {
            withUnsafeBytes(of: largest) { setsockopt(raw, SOL_SOCKET, 33, $0.baseAddress, 4) }
        }
        var any = sockaddr_in6()
        any.sin6_family = sa_family_t(family)
        if family == AF_INET6 {
            withUnsafeMutableBytes(of: &any.sin6_addr) { $0.copyBytes(from: address) }
        } else {
            withUnsafeMutableBytes(of: &any) { $0[4...].copyBytes(from: address) }
        }
        let length = socklen_t(family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        try systemCall("bind", on: "receiver") {
            withUnsafeBytes(of: any) {
                bind(raw, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), length)
            }
        }
        if transport == .tcp { try systemCall("listen", on: "receiver") { listen(raw, backlog) } }
        self.address = try descriptor.ownInternetAddress()
        self.descriptor = descriptor
    }

    /// The next connection.
    func accepted() throws -> OwnedDescriptor {
        let raw = descriptor.rawValue
        return OwnedDescriptor(adopting: try systemCall("accept", on: "receiver") { accept(raw, nil, nil) })
    }

    /// From here on nobody is at its address.
    func stop() throws {
        let nothing = try OwnedDescriptor.open("/dev/null", O_RDONLY)
        #expect(dup2(nothing.rawValue, descriptor.rawValue) == descriptor.rawValue)
    }

    /// What arrives next.
    func bytes(atMost count: Int) throws -> [UInt8] {
        let raw = descriptor.rawValue
        var bytes = [UInt8](repeating: 0, count: count)
        let received = try systemCall("read", on: "receiver") {
            bytes.withUnsafeMutableBytes { read(raw, $0.baseAddress, $0.count) }
        }
        return Array(bytes[..<received])
    }
}

extension OwnedDescriptor {
    /// Reads what there is, at most 64 KiB, and returns how much it was; 0 at the end.
    func readSome() throws(SystemCallError) -> Int {
        let raw = rawValue
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        return try systemCall("read", on: "descriptor \(raw)") {
            bytes.withUnsafeMutableBytes { read(raw, $0.baseAddress, $0.count) }
        }
    }
}

/// The next thing that a worker says.
func line(of worker: borrowing Worker) throws -> WorkerMessage? {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while true {
        var wait = pollfd(fd: worker.connection.rawValue, events: Int16(POLLIN), revents: 0)
        try #require(poll(&wait, 1, 20_000) == 1)
        try #require(read(worker.connection.rawValue, &byte, 1) == 1)
        if byte == 0x0A { return WorkerMessage(line: String(decoding: bytes, as: UTF8.self)) }
        bytes.append(byte)
    }
}
