import Glibc
import LinuxSystem
import Namespaces
import Testing

@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct InternetSocketTests {
    @Test func `an address is written as people write it`() {
        #expect(InternetAddress(bytes: [10, 1, 2, 3], port: 53).description == "10.1.2.3:53")
        let six: [UInt8] = [0xfd] + [UInt8](repeating: 0, count: 14) + [1]
        #expect(InternetAddress(bytes: six, port: 65535).description == "[fd00::1]:65535")
    }

    @Test(arguments: ["10.1.2.3:53", "[fd00::1]:65535", "[::1]:1", "0.0.0.0:1"])
    func `an address reads back as it was written`(text: String) {
        #expect(InternetAddress(text: text)?.description == text)
    }

    @Test(arguments: [
        "", ":", "10.1.2.3", "10.1.2.3:", "10.1.2.3:0", "10.1.2.3:65536", "10.1.2.3:+5", "10.1.2:53", "10.1.2.3:5 ",
        "fd00::1:53", "[fd00::1]", "[10.1.2.3]:53", "[fd00::1%eth0]:53", "[::ffff:10.1.2.3]:53", "shop.example:53",
        "10.1.2.3\u{0}:53", "[]:53",
    ])
    func `anything else is no address`(text: String) {
        #expect(InternetAddress(text: text) == nil)
    }

    @Test(arguments: [[127, 0, 0, 1], [UInt8](repeating: 0, count: 15) + [1]])
    func `a datagram goes to its peer`(address: [UInt8]) throws {
        try inLoopbackNetwork { (network) throws in
            let receiver = try network.receiver(.udp, at: address)
            let sender = try network.connected(to: receiver.address, over: .udp)
            #expect(write(sender.rawValue, "hello", 5) == 5)
            #expect(try receiver.bytes(atMost: 100) == Array("hello".utf8))
            #expect(try sender.ownInternetAddress().bytes == address)
            #expect(fcntl(sender.rawValue, F_GETFL) & O_NONBLOCK != 0 && fcntl(sender.rawValue, F_GETFD) == FD_CLOEXEC)
        }
    }

    @Test func `a connection is there or it is known why not`() throws {
        try inLoopbackNetwork { (network) throws in
            let receiver = try network.receiver(.tcp, at: [127, 0, 0, 1])
            let there = try network.connected(to: receiver.address, over: .tcp)
            #expect(isWritable(there.rawValue))
            #expect(try socketError(of: there.rawValue) == nil)
            let nobody = InternetAddress(bytes: [127, 0, 0, 1], port: receiver.address.port ^ 1)
            let refused = try network.connected(to: nobody, over: .tcp)
            #expect(isWritable(refused.rawValue))
            #expect(try socketError(of: refused.rawValue) == .connectionRefused)
            // It is told once.
            #expect(try socketError(of: refused.rawValue) == nil)
        }
    }

    @Test func `a connection that is let go of is reset`() throws {
        try inLoopbackNetwork { (network) throws in
            let receiver = try network.receiver(.tcp, at: [127, 0, 0, 1])
            let sender = try network.connected(to: receiver.address, over: .tcp)
            let accepted = try receiver.accepted()
            #expect(write(sender.rawValue, "hello", 5) == 5)
            _ = consume sender
            var byte: UInt8 = 0
            while read(accepted.rawValue, &byte, 1) == 1 {}
            #expect(Errno.current == Errno(rawValue: ECONNRESET))
        }
    }

    @Test func `nothing is sent where no route leads, and nothing to everybody`() throws {
        try withTemporaryNetworkNamespace { (network) throws in
            let error = SystemCallError("connect", on: "10.1.2.3:9", errno: Errno(rawValue: ENETUNREACH))
            for transport in InternetTransport.allCases {
                #expect(throws: error) {
                    _ = try network.connected(to: InternetAddress(bytes: [10, 1, 2, 3], port: 9), over: transport)
                }
            }
        }
        try inLoopbackNetwork { (network) throws in
            // Loopback's own.
            #expect(throws: SystemCallError("connect", on: "127.255.255.255:9", errno: .permissionDenied)) {
                _ = try network.connected(
                    to: InternetAddress(bytes: [127, 255, 255, 255], port: 9), over: .udp)
            }
        }
    }

    private func isWritable(_ socket: Int32) -> Bool {
        var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        return poll(&wait, 1, 5000) == 1
    }
}
