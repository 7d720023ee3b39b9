import Cgroups
import Glibc
import LinuxSystem
import Namespaces
import Processes
import TestKit
import Testing

@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct SpawnTests {
    /// Children live as long as the thread that made them, and a test's thread may end early.
    static let thread = Result { try NamespaceThread() }

    @Test func `a child has exactly the capabilities it is given`() throws {
        var order = try sleeping()
        order.user = .nobody
        order.capabilities = 1 << 12 | 1 << 21
        let child = try start(order)
        let status = try Status(of: child.id)
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] { #expect(status[set] == "0000000000201000") }
        #expect(status["Uid"] == "65534 65534 65534 65534")
        #expect(status["Gid"] == "65534 65534 65534 65534")
        #expect(status["Groups"] == "")
        #expect(status["NoNewPrivs"] == "1")
        #expect(status["SigBlk"] == "0000000000000000")
        #expect(status["SigIgn"] == "0000000000000000")
        try end(child)
    }

    @Test func `root without capabilities has none either`() throws {
        let child = try start(try sleeping())
        let status = try Status(of: child.id)
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] { #expect(status[set] == "0000000000000000") }
        #expect(status["Uid"] == "0 0 0 0")
        try end(child)
    }

    @Test func `a child has no descriptor that it was not given`() throws {
        let leak = try OwnedDescriptor.open("/etc/passwd", O_RDONLY)
        // Not even one that is not close-on-exec.
        let inheritable = fcntl(leak.rawValue, F_DUPFD, 200)
        #expect(inheritable >= 200)
        defer { close(inheritable) }
        let given = try OwnedDescriptor.open("/etc/hostname", O_RDONLY)
        var order = try sleeping()
        order.descriptors = [
            SpawnOrder.Descriptor(source: given.rawValue, target: 1),
            SpawnOrder.Descriptor(source: given.rawValue, target: 7),
        ]
        let child = try start(order)
        let expected = ["0": "/dev/null", "1": "/etc/hostname", "2": "/dev/null", "7": "/etc/hostname"]
        #expect(try openFiles(of: child.id, until: { $0 == expected }) == expected)
        #expect(try TextFile.destination(ofLink: "/proc/\(child.id)/cwd") == "/")
        try end(child)
    }

    @Test func `descriptors may change places`() throws {
        let first = try OwnedDescriptor.open("/etc/hostname", O_RDONLY)
        let second = try OwnedDescriptor.open("/etc/passwd", O_RDONLY)
        var order = try sleeping()
        order.descriptors = [
            SpawnOrder.Descriptor(source: first.rawValue, target: second.rawValue),
            SpawnOrder.Descriptor(source: second.rawValue, target: first.rawValue),
        ]
        let child = try start(order)
        let expected = [
            "0": "/dev/null", "1": "/dev/null", "2": "/dev/null",
            "\(first.rawValue)": "/etc/passwd", "\(second.rawValue)": "/etc/hostname",
        ]
        #expect(try openFiles(of: child.id, until: { $0 == expected }) == expected)
        try end(child)
    }

    @Test func `a child starts in the cgroup that it is put into`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        var order = try sleeping()
        order.placement = try cgroup.placement()
        let child = try start(order)
        #expect(try cgroup.processes() == [child.id])
        #expect(try CgroupTree().cgroup(ofProcess: child.id).id == cgroup.id)
        try end(child)
    }

    @Test func `a child that does not come to its program is killed in time`() async throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        try temporary.freeze(true)
        let isV1 = temporary.file("freezer.state") != nil
        let file = try #require(temporary.file("freezer.state") ?? temporary.file("cgroup.freeze"))
        // In a process of its own: a child that dies only when it is thawed is nobody's to reap, and an exit test waits for
        // ever beside one that is not reaped.
        await #expect(processExitsWith: .success) {
            [path = temporary.path as String, file = file as String, isV1 = isV1 as Bool] in
            var order = SpawnOrder(executable: try Executable(opening: "/bin/sleep"), arguments: ["sleep", "60"])
            order.placement = try CgroupTree().cgroup(at: path).placement()
            order.timeout = .milliseconds(100)
            var failure: SpawnError?
            do throws(SpawnError) { _ = try spawn(order) } catch { failure = error }
            // While it is frozen it holds open what the library reads of this process.
            try TextFile.write(isV1 ? "THAWED" : "0", to: file)
            precondition(failure == SpawnError(program: "sleep", stage: .timeout, errno: .timedOut))
            exit(0)
        }
        for _ in 0..<50 where try !cgroup.processes().isEmpty { usleep(100_000) }
        #expect(try cgroup.processes() == [])
    }

    @Test func `a child joins the namespaces it is given`() throws {
        try withTemporaryNetworkNamespace { (namespace) throws in
            var order = try sleeping()
            order.namespaces = [namespace.descriptor.rawValue]
            let child = try start(order)
            #expect(try NamespaceHandle(.network, ofProcess: child.id).inode == namespace.inode)
            try end(child)
        }
    }

    @Test func `a child takes an out-of-memory score`() throws {
        var order = try sleeping()
        order.outOfMemoryScore = 913
        let child = try start(order)
        #expect(try TextFile.read("/proc/\(child.id)/oom_score_adj") == "913\n")
        try end(child)
    }

    @Test func `a child has the environment it is given and no other`() throws {
        var order = try sleeping()
        order.environment = ["COLOUR=blue"]
        let child = try start(order)
        #expect(try TextFile.read("/proc/\(child.id)/environ") == "COLOUR=blue\0")
        #expect(try TextFile.read("/proc/\(child.id)/cmdline") == "sleep\u{0}60\u{0}")
        try end(child)
    }

    @Test func `a child dies with the thread that made it, also as another user`() throws {
        let thread = try OneShotThread { () throws in
            var order = try sleeping()
            order.user = .nobody
            return try spawn(order).id
        }
        let handle = try ProcessHandle(openingProcess: thread.value)
        #expect(handle.isRunning == true)
        thread.end()
        #expect(handle.waitUntilEnded(atMost: .seconds(2)) == true)
        #expect(try handle.reap() == .killed(signal: SIGKILL))
    }

    @Test func `says which stage failed`() throws {
        var order = SpawnOrder(executable: try Executable(opening: "/etc/passwd"), arguments: ["passwd"])
        #expect(throws: SpawnError(program: "passwd", stage: .execute, errno: .permissionDenied)) { try start(order) }

        order = try sleeping()
        order.namespaces = [0]
        #expect(throws: SpawnError(program: "sleep", stage: .namespaces, errno: .invalidArgument)) { try start(order) }

        order = try sleeping()
        order.descriptors = [SpawnOrder.Descriptor(source: 999, target: 3)]
        #expect(throws: SpawnError(program: "sleep", stage: .descriptors, errno: Errno(rawValue: EBADF))) {
            try start(order)
        }

        order = try sleeping()
        order.capabilities = 1 << 63  // which no kernel knows
        #expect(throws: SpawnError(program: "sleep", stage: .capabilities, errno: .invalidArgument)) {
            try start(order)
        }

        order = try sleeping()
        order.outOfMemoryScore = 5000
        #expect(throws: SpawnError(program: "sleep", stage: .outOfMemoryScore, errno: .invalidArgument)) {
            try start(order)
        }
    }

    @Test func `who does not wait learns why it ended, and nothing of one that began`() throws {
        let thread = try Self.thread.get()
        let bad = SpawnOrder(executable: try Executable(opening: "/etc/passwd"), arguments: ["passwd"])
        let failing = try thread.run { () throws(SpawnError) in try spawnWithoutWaiting(bad) }
        #expect(failing.handle.waitUntilEnded(atMost: .seconds(5)) == true)
        #expect(failing.failure() == SpawnError(program: "passwd", stage: .execute, errno: .permissionDenied))
        #expect(try failing.handle.reap() == .exited(127))

        let good = try sleeping()
        let starting = try thread.run { () throws(SpawnError) in try spawnWithoutWaiting(good) }
        #expect(starting.failure() == nil)
        try starting.handle.send(signal: SIGKILL)
        #expect(starting.handle.waitUntilEnded(atMost: .seconds(5)) == true)
        #expect(starting.failure() == nil)
        #expect(try starting.handle.reap() == .killed(signal: SIGKILL))
    }

    @Test func `nobody waits for one that is stuck on its way`() throws {
        let temporary = try TemporaryCgroup()
        var order = try sleeping()
        order.placement = try CgroupTree().cgroup(at: temporary.path).placement()
        try temporary.freeze(true)
        let thread = try Self.thread.get()
        let stuck = try thread.run { () throws(SpawnError) in try spawnWithoutWaiting(order) }
        #expect(stuck.handle.waitUntilEnded(atMost: .milliseconds(100)) == false)
        // Others come and go meanwhile, on the same thread.
        try end(try start(sleeping()))
        try temporary.freeze(false)
        try stuck.handle.send(signal: SIGKILL)
        #expect(stuck.handle.waitUntilEnded(atMost: .seconds(5)) == true)
        #expect(try stuck.handle.reap() == .killed(signal: SIGKILL))
    }

    @Test func `leaves no descriptor open and no child behind`() async {
        // In a process of its own, where no other test opens files.
        await #expect(processExitsWith: .success) {
            let good = SpawnOrder(executable: try Executable(opening: "/bin/sleep"), arguments: ["sleep", "60"])
            let bad = SpawnOrder(executable: try Executable(opening: "/etc/passwd"), arguments: ["passwd"])
            let before = try Self.openDescriptors()
            for _ in 0..<20 {
                let child = try spawn(good)
                try child.send(signal: SIGKILL)
                _ = child.waitUntilEnded(atMost: .seconds(5))
                _ = try child.reap()
                do { _ = try spawn(bad) } catch { continue }
                preconditionFailure("spawned a text file")
            }
            let after = try Self.openDescriptors()
            let reaped = try reapEndedChildren()
            precondition(after == before && reaped.isEmpty)
            exit(0)
        }
    }

    @Test func `a subreaper takes the children of its children`() async {
        await #expect(processExitsWith: .success) {
            try becomeSubreaper()
            var order = SpawnOrder(
                executable: try Executable(opening: "/bin/sh"), arguments: ["sh", "-c", "sleep 0.2 & exit 7"])
            order.environment = ["PATH=/bin"]
            let child = try spawn(order)
            var reaped: [ReapedChild] = []
            for _ in 0..<100 where reaped.count < 2 {
                usleep(20_000)
                reaped += try reapEndedChildren()
            }
            precondition(reaped.count == 2 && reaped[0].id == child.id)
            precondition(reaped[0].exit == .exited(7) && reaped[1].exit == .exited(0))
            exit(0)
        }
    }

    @Test func `a copied program cannot be changed`() throws {
        let program = try Executable(copying: "/bin/sleep", named: "sleeper")
        let child = try start(SpawnOrder(executable: program, arguments: ["sleeper", "60"]))
        let link = "/proc/\(child.id)/exe"
        #expect(try TextFile.destination(ofLink: link) == "/memfd:sleeper (deleted)")
        #expect(throws: SystemCallError.self) { try TextFile.write("x", to: link) }
        let own = "/proc/self/fd/\(program.descriptor.rawValue)"
        #expect(throws: SystemCallError.self) { try TextFile.write("x", to: own) }
        try end(child)
    }

    /// What spawning opens, by what it is: others of this process, the testing library above all, have sockets and timers.
    private static func openDescriptors() throws -> [String: Int] {
        try TextFile.names(in: "/proc/self/fd").reduce(into: [:]) { counts, descriptor in
            let link = (try? TextFile.destination(ofLink: "/proc/self/fd/\(descriptor)")) ?? "closed meanwhile"
            for kind in ["pipe:", "pidfd", "/dev/null"] where link.contains(kind) { counts[kind, default: 0] += 1 }
        }
    }

    private func sleeping() throws -> SpawnOrder {
        SpawnOrder(executable: try Executable(opening: "/bin/sleep"), arguments: ["sleep", "60"])
    }

    @discardableResult
    private func start(_ order: SpawnOrder) throws -> ProcessHandle {
        try Self.thread.get().run { () throws(SpawnError) in try spawn(order) }
    }

    private func end(_ child: consuming ProcessHandle) throws {
        try child.send(signal: SIGKILL)
        #expect(child.waitUntilEnded(atMost: .seconds(5)) == true)
        #expect(try child.reap() == .killed(signal: SIGKILL))
    }

    /// A program that starts opens its libraries, and closes them: asked again for a while, until it is as it should be.
    private func openFiles(
        of process: Int32, until isExpected: ([String: String]) -> Bool
    ) throws -> [String: String] {
        var files: [String: String] = [:]
        for _ in 0..<100 {
            files = [:]
            for name in try TextFile.names(in: "/proc/\(process)/fd") {
                files[name] = try? TextFile.destination(ofLink: "/proc/\(process)/fd/\(name)")
            }
            if isExpected(files) { break }
            usleep(20_000)
        }
        return files
    }
}

/// `/proc/PID/status`, by field.
struct Status {
    private var fields: [Substring: String] = [:]

    init(of process: Int32) throws {
        for line in try TextFile.read("/proc/\(process)/status").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0]] = parts[1].split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
    }

    subscript(field: String) -> String? { fields[Substring(field)] }
}
