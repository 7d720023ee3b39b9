import Glibc
import LinuxSystem
import Namespaces
import Testing

@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct NamespaceThreadTests {
    static let thread = Result { try NamespaceThread() }

    @Test func `runs on one thread that is not the caller's`() throws {
        let thread = try Self.thread.get()
        let first = thread.run { pthread_self() }
        let second = thread.run { pthread_self() }
        #expect(pthread_equal(first, second) != 0)
        #expect(pthread_equal(first, pthread_self()) == 0)
    }

    @Test func `hands results and errors back`() throws {
        let thread = try Self.thread.get()
        #expect(thread.run { 42 } == 42)
        #expect(throws: SystemCallError.self) {
            try thread.run { () throws(SystemCallError) in _ = try OwnedDescriptor.open("/nowhere", O_RDONLY) }
        }
    }

    @Test func `serves many callers, one after the other`() async throws {
        let thread = try Self.thread.get()
        nonisolated(unsafe) var count = 0
        await withTaskGroup { group in
            for _ in 0..<100 { group.addTask { thread.run { count += 1 } } }
        }
        #expect(count == 100)
    }

    @Test func `enters a network namespace and comes back`() throws {
        let thread = try Self.thread.get()
        let home = try thread.run { () throws(SystemCallError) in try currentNamespace() }
        try withTemporaryNetworkNamespace { (namespace) throws in
            let inside = try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                try currentNamespace()
            }
            #expect(inside == "net:[\(namespace.inode)]")
            #expect(inside != home)
        }
        #expect(try thread.run { () throws(SystemCallError) in try currentNamespace() } == home)
    }

    @Test func `comes back from a closure that failed`() throws {
        let thread = try Self.thread.get()
        let home = try thread.run { () throws(SystemCallError) in try currentNamespace() }
        #expect(throws: NamespaceEntryError<any Error>.self) {
            try withTemporaryNetworkNamespace { (namespace) throws in
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                    _ = try OwnedDescriptor.open("/nowhere", O_RDONLY)
                }
            }
        }
        #expect(try thread.run { () throws(SystemCallError) in try currentNamespace() } == home)
    }

    @Test func `a socket opened inside stays inside`() throws {
        let thread = try Self.thread.get()
        try withTemporaryNetworkNamespace { (namespace) throws in
            let socket = try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                OwnedDescriptor(
                    adopting: try systemCall("socket", on: "test") {
                        Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                    })
            }
            // Nothing in an empty namespace is up, not even the loopback interface.
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            address.sin_port = UInt16(9).bigEndian
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(socket.rawValue, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            #expect(result == -1)
            #expect(errno == ENETUNREACH)
        }
    }
}

private func currentNamespace() throws(SystemCallError) -> String {
    try TextFile.destination(ofLink: "/proc/thread-self/ns/net")
}
