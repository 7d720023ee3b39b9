import Cgroups
import DeadMan
import Glibc
import LinuxSystem
import Namespaces
import Processes
import TestKit
import Testing

/// What it undoes here is the life of a child.
@Suite(
    .serialized, .enabled(if: geteuid() == 0, "needs root"),
    .enabled(if: (try? NamespaceHandle(.mount, ofProcess: 1)) != nil, "this machine hides its first process"))
struct DeadMansProcessTests {
    static let executable = Result {
        let own = try TextFile.destination(ofLink: "/proc/self/exe")
        let folder = own.split(separator: "/").dropLast().joined(separator: "/")
        return try Executable(copying: "/\(folder)/squall-deadman", named: "squall-deadman")
    }
    let tree: CgroupTree
    let mark = "test:\(getpid())"

    init() throws { tree = try CgroupTree() }

    func start() throws -> DeadMansProcess {
        try DeadMansProcess(running: try Self.executable.get(), in: tree, mark: mark)
    }

    func entrustLife(
        of child: borrowing Child, to process: DeadMansProcess, for time: Duration
    ) throws -> DeadMansProcess.Slot {
        var program = DeadMansProgram()
        program.kill()
        return try process.entrust(
            program, tag: 7, files: [child.handle.descriptor.rawValue], target: nil, deadline: .now + time)
    }

    /// A process that is alone with what was entrusted to it, since whoever started it is gone.
    func leaveBehind(theLifeOf child: borrowing Child, for time: Duration) throws -> ProcessHandle {
        let process = try start()
        let slot = try entrustLife(of: child, to: process, for: time)
        #expect(process.arm(slot))
        return try ProcessHandle(openingProcess: process.processID)
    }

    func expectEnd(
        of process: borrowing ProcessHandle, within limit: Duration = .seconds(5),
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let hasEnded = process.waitUntilEnded(atMost: limit)
        #expect(hasEnded, sourceLocation: sourceLocation)
    }

    /// It is still a child of ours. One that nobody waits for would keep the library from seeing the ends of its own
    /// children: it looks at whichever the kernel names first, again and again.
    func expectEndOfWhatWasLeft(
        _ process: borrowing ProcessHandle, within limit: Duration = .seconds(5),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        expectEnd(of: process, within: limit, sourceLocation: sourceLocation)
        _ = try process.reap()
    }

    func expectLife(
        of process: borrowing ProcessHandle, for time: Duration, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let hasEnded = process.waitUntilEnded(atMost: time)
        #expect(!hasEnded, sourceLocation: sourceLocation)
    }

    @Test func `what is overdue is undone`() throws {
        let process = try start()
        let child = try Child()
        let slot = try entrustLife(of: child, to: process, for: .milliseconds(300))
        #expect(process.arm(slot))
        expectLife(of: child.handle, for: .milliseconds(100))
        expectEnd(of: child.handle)
        #expect(!process.claim(slot))
        process.letGo(slot)
        process.end()
        try child.end()
    }

    @Test(arguments: [
        ("first", "zero!"), ("other", "zero!"), ("zero!", "zero!"), ("alien", "alien"), ("fir", "fir"),
        ("5 7", "zero!"), ("5 8", "5 8"), ("5 5", "5 5"), ("7 5", "7 5"), ("9 9", "zero!"), ("9 8", "9 8"),
        ("8:0 a=1 b=2", "8:0 a=1 b=2"), ("7:0 b=3\n8:0 a=1 b=3 c=4", "zero!"), ("8:1 a=1 b=3", "8:1 a=1 b=3"),
        ("9:0 8:0 b=3", "9:0 8:0 b=3"),
    ])
    func `a line is put back where one of ours is, and nowhere else`(found: String, left: String) throws {
        let process = try start()
        let path = "/tmp/squall-test-\(getpid())-line"
        let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
        defer { unlink(path) }
        try file.writeAll(Array("\(found)\n".utf8), subject: path)
        var program = DeadMansProgram()
        program.restore("zero!", insteadOf: ["first", "other", "5 7", "9 9", "8:0 b=3"])
        let slot = try process.entrust(program, tag: 1, files: [file.rawValue], target: nil, deadline: .now)
        #expect(process.arm(slot))
        let limit = BootInstant.now + .seconds(20)
        while process.claim(slot) {
            #expect(process.arm(slot))
            try #require(BootInstant.now < limit)
            usleep(1000)
        }
        process.letGo(slot)
        process.end()
        // On a busy machine it may have begun, and not have written yet.
        while try !TextFile.read(path).hasPrefix(left), BootInstant.now < limit { usleep(1000) }
        #expect(try TextFile.read(path).hasPrefix(left))
    }

    @Test func `what is claimed is left alone, until the claim lapses`() throws {
        let process = try start()
        let child = try Child()
        _ = try entrustLife(of: child, to: process, for: .zero)
        expectLife(of: child.handle, for: DeadMansProcess.claim - .milliseconds(300))
        expectEnd(of: child.handle)
        process.end()
        try child.end()
    }

    @Test func `what is let go of is left alone`() throws {
        let process = try start()
        let child = try Child()
        let slot = try entrustLife(of: child, to: process, for: .milliseconds(200))
        #expect(process.arm(slot))
        #expect(process.claim(slot))
        process.letGo(slot)
        expectLife(of: child.handle, for: .milliseconds(800))
        process.end()
        try child.end()
    }

    @Test func `a killed one is replaced, and nothing is forgotten`() throws {
        let process = try start()
        let child = try Child()
        let slot = try entrustLife(of: child, to: process, for: .milliseconds(500))
        #expect(process.arm(slot))
        let first = process.processID
        kill(first, SIGKILL)
        try process.replace()
        #expect(process.processID != first)
        expectEnd(of: child.handle)
        process.end()
        try child.end()
    }

    @Test func `it outlives whoever started it, by its last deadline`() throws {
        let child = try Child()
        let left = try leaveBehind(theLifeOf: child, for: .seconds(1))
        expectLife(of: left, for: .milliseconds(500))
        expectEnd(of: child.handle)
        try expectEndOfWhatWasLeft(left)
        // Its cgroup went with it.
        #expect(throws: CgroupOpeningError.self) { try tree.cgroup(at: "/\(DeadMansProcess.cgroup)") }
        try child.end()
    }

    @Test func `with its target gone and nobody here, nothing is held open`() throws {
        let target = try Child()
        let child = try Child()
        let left: ProcessHandle
        do {
            let process = try start()
            var program = DeadMansProgram()
            program.kill()
            let slot = try process.entrust(
                program, tag: 7, files: [child.handle.descriptor.rawValue], target: target.handle.descriptor.rawValue,
                deadline: .now + .seconds(60))
            #expect(process.arm(slot))
            left = try ProcessHandle(openingProcess: process.processID)
        }
        expectLife(of: left, for: .milliseconds(300))
        try target.end()
        try expectEndOfWhatWasLeft(left)
        expectEnd(of: child.handle, within: .seconds(1))
        try child.end()
    }

    @Test func `a successor takes over, and is the only one to undo`() throws {
        let child = try Child()
        let left = try leaveBehind(theLifeOf: child, for: .milliseconds(700))
        #expect(try DeadMansPredecessor.all(in: tree, mark: "other").isEmpty)
        let found = try DeadMansPredecessor.all(in: tree, mark: mark)
        let id = left.id
        #expect(found.map(\.processID) == [id])
        for each in found { each.claimAll() }
        for each in found { #expect(try each.end { $0 == 7 }) }
        try expectEndOfWhatWasLeft(left, within: .zero)
        expectLife(of: child.handle, for: .seconds(1))
        try child.end()
        let cgroup = try tree.cgroup(at: "/\(DeadMansProcess.cgroup)")
        #expect(try cgroup.processes().isEmpty)
        try start().end()
    }

    @Test func `it has no namespace, file or capability of ours that it does not need`() throws {
        let process = try start()
        let child = try Child()
        // With its answer it has come to its work.
        process.letGo(try entrustLife(of: child, to: process, for: .seconds(60)))
        let status = try TextFile.read("/proc/\(process.processID)/status")
        #expect(status.contains("Name:\tsquall-deadman\n"))
        #expect(status.contains("CapEff:\t000000000200102a\n"))
        #expect(status.contains("NoNewPrivs:\t1\n"))
        for kind in ["mnt", "net", "ipc", "uts"] {
            #expect(
                try TextFile.destination(ofLink: "/proc/\(process.processID)/ns/\(kind)")
                    == TextFile.destination(ofLink: "/proc/1/ns/\(kind)"))
        }
        func others() throws -> [String] {
            try TextFile.names(in: "/proc/\(process.processID)/fd").compactMap {
                try? TextFile.destination(ofLink: "/proc/\(process.processID)/fd/\($0)")
            }.filter {
                !$0.hasPrefix("/memfd:squall-deadman-slots") && !$0.hasPrefix("socket:")
                    && $0 != "anon_inode:[timerfd]" && !$0.hasPrefix("/sys/fs/cgroup")
            }
        }
        // It closes what it was told to let go of as soon as it gets to it.
        let limit = BootInstant.now + .seconds(5)
        while try !others().isEmpty, .now < limit { usleep(1000) }
        #expect(try others() == [])
        let resident = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        let kilobytes = try #require(Int(resident.filter(\.isNumber)))
        #expect(kilobytes <= 1024)
        process.end()
        try child.end()
    }

    @Test func `what a successor does not know is undone all the same`() throws {
        let child = try Child()
        let left = try leaveBehind(theLifeOf: child, for: .milliseconds(700))
        for each in try DeadMansPredecessor.all(in: tree, mark: mark) {
            each.claimAll()
            #expect(try !each.end { $0 == 8 })
        }
        expectEnd(of: child.handle)
        try expectEndOfWhatWasLeft(left)
        try child.end()
    }

    @Test func `a deadline may become an earlier one`() throws {
        let process = try start()
        let child = try Child()
        let slot = try entrustLife(of: child, to: process, for: .seconds(600))
        #expect(process.arm(slot))
        #expect(process.claim(slot))
        var program = DeadMansProgram()
        program.kill()
        #expect(try process.replace(slot, with: program, deadline: .now + .milliseconds(1500)) == slot)
        #expect(process.arm(slot))
        expectEnd(of: child.handle)
        process.end()
        try child.end()
    }

    /// Whose bytes would make owners and deadlines of the past.
    @Test func `the rest of a long program is no slot`() throws {
        let process = try start()
        let child = try Child()
        let other = try Child()
        var long = DeadMansProgram()
        for _ in 0..<100 { long.send([UInt8](repeating: 1, count: 20), ifNothingIsListedBy: [[], []]) }
        long.kill()
        let slot = try process.entrust(
            long, tag: 1, files: [child.handle.descriptor.rawValue], target: nil, deadline: .now + .seconds(2))
        #expect(process.arm(slot))
        let after = try entrustLife(of: other, to: process, for: .seconds(600))
        #expect(process.arm(after))
        expectLife(of: child.handle, for: .seconds(1))
        expectEnd(of: child.handle)
        expectLife(of: other.handle, for: .milliseconds(100))
        // Its place can be used again.
        process.letGo(slot)
        var slots: [DeadMansProcess.Slot] = []
        for _ in 0..<20 { slots.append(try entrustLife(of: other, to: process, for: .seconds(600))) }
        for slot in slots { process.letGo(slot) }
        process.end()
        try child.end()
        try other.end()
    }

    @Test func `more than a slot holds takes several`() throws {
        let process = try start()
        let child = try Child()
        var program = DeadMansProgram()
        for _ in 0..<400 { program.kill() }
        let slot = try process.entrust(
            program, tag: 7, files: [child.handle.descriptor.rawValue], target: nil, deadline: .now + .seconds(60))
        var longer = program
        for _ in 0..<400 { longer.kill() }
        let moved = try process.replace(slot, with: longer, deadline: .now)
        #expect(moved != slot)
        #expect(process.arm(moved))
        expectEnd(of: child.handle)
        process.end()
        try child.end()
    }
}
