import Glibc
import LinuxSystem
import Namespaces
import Testing

@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct NamespaceSearchTests {
    @Test func `finds the namespace of a running process by inode and cookie`() throws {
        let thread = try NamespaceThreadTests.thread.get()
        let own = try NamespaceHandle(.network, ofProcess: getpid())
        let cookie = try thread.cookie(ofNetworkNamespace: own)
        let found = try thread.findNetworkNamespace(inode: own.inode, cookie: cookie)
        guard let found else {
            Issue.record("not found")
            return
        }
        #expect(found.inode == own.inode)
    }

    @Test(.enabled(if: access("/proc/1/ns/net", R_OK) == 0, "this machine hides its first process"))
    func `does not take a namespace with the same inode and another cookie`() throws {
        let thread = try NamespaceThreadTests.thread.get()
        let own = try NamespaceHandle(.network, ofProcess: getpid())
        let cookie = try thread.cookie(ofNetworkNamespace: own)
        let found = try thread.findNetworkNamespace(inode: own.inode, cookie: cookie &+ 1_000_000)
        expectNothing(found)
    }

    @Test(.enabled(if: access("/proc/1/ns/net", R_OK) == 0, "this machine hides its first process"))
    func `says that a namespace is gone when nothing keeps it`() throws {
        let thread = try NamespaceThreadTests.thread.get()
        var inode: UInt64 = 0
        var cookie: UInt64 = 0
        try withTemporaryNetworkNamespace { (namespace) throws in
            inode = namespace.inode
            cookie = try thread.cookie(ofNetworkNamespace: namespace)
        }
        #expect(cookie != 0)
        expectNothing(try thread.findNetworkNamespace(inode: inode, cookie: cookie))
    }

    @Test(.enabled(if: access("/proc/1/ns/net", R_OK) != 0, "this machine shows its first process"))
    func `does not say that a namespace is gone when a place cannot be asked`() throws {
        let thread = try NamespaceThreadTests.thread.get()
        #expect(throws: SystemCallError.self) { _ = try thread.findNetworkNamespace(inode: 1, cookie: 0) }
    }

    @Test(.enabled(if: access("/proc/1/ns/net", R_OK) == 0, "this machine hides its first process"))
    func `tells which processes are in a namespace`() throws {
        let own = try NamespaceHandle(.network, ofProcess: getpid())
        let fellows = try own.processes()
        #expect(fellows.contains(getpid()))
        try withTemporaryNetworkNamespace { (namespace) throws in
            let nobody = try namespace.processes()
            #expect(nobody == [])
        }
    }

    @Test func `gives every namespace another cookie`() throws {
        let thread = try NamespaceThreadTests.thread.get()
        var cookies: Set<UInt64> = []
        for _ in 0..<5 {
            try withTemporaryNetworkNamespace { (namespace) throws in
                let cookie = try thread.cookie(ofNetworkNamespace: namespace)
                cookies.insert(cookie)
            }
        }
        #expect(cookies.count == 5)
    }

    @Test func `refuses a file that is no namespace, and a namespace of another kind`() {
        #expect(throws: SystemCallError("ioctl NS_GET_NSTYPE", on: "/etc/passwd", errno: .invalidArgument)) {
            _ = try NamespaceHandle(.network, at: "/etc/passwd")
        }
        #expect(throws: SystemCallError("ioctl NS_GET_NSTYPE", on: "/proc/self/ns/uts", errno: .invalidArgument)) {
            _ = try NamespaceHandle(.network, at: "/proc/self/ns/uts")
        }
    }

    @Test func `an unknown process has no namespace`() {
        #expect(throws: SystemCallError.self) { _ = try NamespaceHandle(.network, ofProcess: 4_194_305) }
    }

    /// `#expect` cannot look at what must not be copied.
    private func expectNothing(_ found: consuming NamespaceHandle?) {
        if let found { Issue.record("found namespace \(found.inode)") }
    }
}
