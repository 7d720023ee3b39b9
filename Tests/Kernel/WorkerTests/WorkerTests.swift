import Cgroups
import Filesystems
import Glibc
import Hardening
import LinuxSystem
import Namespaces
import Processes
import TestKit
import Testing
import WorkerProtocol

/// The real program in a real cgroup. One after the other: each measures CPU time.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct WorkerTests {
    static let thread = Result { try NamespaceThread() }
    static let executable = Result {
        let tests = try TextFile.destination(ofLink: "/proc/self/exe")
        let folder = tests.split(separator: "/").dropLast().joined(separator: "/")
        return try Executable(copying: "/\(folder)/squall-worker", named: WorkerOrder.programName)
    }

    @Test(arguments: [(10.0, 1), (50.0, 1), (50.0, 2)])
    func `uses the CPU time it is told to`(load: Double, threads: Int) throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.cpu(load: load, threads: threads), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        let before = try CPUTime(of: worker.process.id)
        sleep(3)
        let used = try CPUTime(of: worker.process.id).percent(since: before)
        let wanted = load * Double(threads)
        #expect(used.running < wanted + 5, "\(used)")
        // On a busy machine it cannot have what it wants, and waits for it.
        #expect(used.running + used.waiting > wanted - 5, "\(used)")
        #expect(try worker.end(atMost: .seconds(5)) == .killed(signal: SIGKILL))
    }

    @Test func `reaches its load by and by`() throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.cpu(load: 100, threads: 1, rampNanoseconds: 4_000_000_000), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        let before = try CPUTime(of: worker.process.id)
        sleep(2)
        let first = try CPUTime(of: worker.process.id)
        // A quarter on average, if it was looked at from the start.
        #expect(first.percent(since: before).running < 45)
        sleep(2)
        let second = try CPUTime(of: worker.process.id)
        sleep(1)
        let last = try CPUTime(of: worker.process.id).percent(since: second)
        #expect(last.running + last.waiting > 80, "\(last)")
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test func `threads stay on a CPU each when there are as many`() throws {
        let temporary = try TemporaryCgroup()
        let cpus = try ownCPUs()
        let worker = try start(.cpu(load: 1, threads: cpus.count), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        usleep(200_000)
        let own = "\(worker.process.id)"
        let lists = try TextFile.names(in: "/proc/\(own)/task").filter { $0 != own }.map { thread in
            try TextFile.read("/proc/\(own)/task/\(thread)/status").split(separator: "\n")
                .first { $0.hasPrefix("Cpus_allowed_list:") }?.split(separator: "\t").last.map(String.init)
        }
        #expect(Set(lists) == Set(cpus.map { "\($0)" }))
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test(arguments: [(0, Int64(1 << 20), false), (100, 4096, false), (50, 65536, true)])
    func `reads and writes the file that it is given`(readPercent: Int, blockSize: Int64, isDirect: Bool) throws {
        let temporary = try TemporaryCgroup()
        let directory = try Directory(at: "/var/tmp", seenBy: getpid())
        let file = try directory.createUnnamedFile(orForAMoment: ".squall-test-\(getpid())")
        let load = try #require(
            IOLoad(readPercent: readPercent, blockSize: blockSize, threads: 2, isDirect: isDirect))
        let worker = try start(.io(load, bytes: 8 << 20, reserve: 0), files: [file.rawValue], in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        #expect(try line(of: worker) == .reached(bytes: 8 << 20, shortBecause: nil))
        // What it asks for, whatever the caches make of it.
        func asked() throws -> [String: Int] {
            let lines = try TextFile.read("/proc/\(worker.process.id)/io").split(separator: "\n")
            return Dictionary(
                uniqueKeysWithValues: lines.map { line in
                    let fields = line.split(separator: ":")
                    return (String(fields[0]), Int(fields[1].dropFirst()) ?? 0)
                })
        }
        let before = try asked()
        sleep(1)
        let after = try asked()
        func more(_ name: String) -> Int { (after[name] ?? 0) - (before[name] ?? 0) }
        #expect((more("rchar") > 0, more("wchar") > 0) == (readPercent > 0, readPercent < 100))
        if isDirect {
            // All of it, but for what was under way while the kernel was asked.
            #expect(Double(more("read_bytes")) > 0.9 * Double(more("rchar")))
            #expect(Double(more("write_bytes")) > 0.9 * Double(more("wchar")))
        }
        var status = stat()
        #expect(fstat(file.rawValue, &status) == 0)
        #expect(status.st_size == 8 << 20)
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test func `does not make up for what a quota took`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        try setQuota(of: cgroup, percent: 5)
        let worker = try start(.cpu(load: 50, threads: 1), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        sleep(2)
        try setQuota(of: cgroup, percent: nil)
        // One second of backlog would now be burnt at full load; 20 ms of it may be.
        usleep(100_000)
        let before = try CPUTime(of: worker.process.id)
        sleep(1)
        let used = try CPUTime(of: worker.process.id).percent(since: before)
        #expect(used.running < 60, "\(used)")
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test func `ends when the engine lets go of it`() throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.cpu(load: 100, threads: 8), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        let handle = try ProcessHandle(openingProcess: worker.process.id)
        let begin = BootInstant.now
        shutdown(worker.connection.rawValue, Int32(SHUT_RDWR))
        #expect(handle.waitUntilEnded(atMost: .seconds(2)) == true)
        // A few milliseconds; more on a busy machine, since every thread must run once more to end.
        #expect(BootInstant.now - begin < .milliseconds(500))
        #expect(try worker.process.reap() == .exited(WorkerExitStatus.engineGone.rawValue))
    }

    @Test func `ends at its deadline`() throws {
        let temporary = try TemporaryCgroup()
        let deadline = BootInstant.now + .milliseconds(500)
        let worker = try start(.cpu(load: 100, threads: 4), until: deadline, in: temporary)
        #expect(worker.process.waitUntilEnded(atMost: .seconds(5)) == true)
        let late = BootInstant.now - deadline
        #expect(late >= .zero && late < .seconds(3))
        #expect(try worker.process.reap() == .exited(WorkerExitStatus.deadline.rawValue))
    }

    @Test func `does not start after its deadline`() throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.cpu(load: 100, threads: 1), until: BootInstant(nanoseconds: 1), in: temporary)
        #expect(worker.process.waitUntilEnded(atMost: .seconds(2)) == true)
        #expect(try worker.process.reap() == .exited(WorkerExitStatus.deadline.rawValue))
    }

    @Test func `says why it cannot start`() throws {
        let temporary = try TemporaryCgroup()
        guard let limit = temporary.file("pids.max") else { return }
        try TextFile.write("3", to: limit)
        let worker = try start(.cpu(load: 50, threads: 16), in: temporary)
        let reason = "pthread_create CPU load: Resource temporarily unavailable"
        #expect(throws: WorkerStartError.failed(reason: reason)) { try worker.waitUntilReady(atMost: .seconds(5)) }
        #expect(worker.process.waitUntilEnded(atMost: .seconds(2)) == true)
        #expect(try worker.process.reap() == .exited(WorkerExitStatus.failed.rawValue))
    }

    @Test func `refuses arguments that are no order`() throws {
        let order = SpawnOrder(executable: try Self.executable.get(), arguments: ["squall-worker", "--help"])
        let child = try Self.thread.get().run { () throws(SpawnError) in try spawn(order) }
        #expect(child.waitUntilEnded(atMost: .seconds(2)) == true)
        #expect(try child.reap() == .exited(WorkerExitStatus.badArguments.rawValue))
    }

    @Test func `runs as nobody, without privileges, and is the first to go`() throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.cpu(load: 1, threads: 1), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        let status = try TextFile.read("/proc/\(worker.process.id)/status")
        #expect(status.contains("Name:\tsquall-worker\n"))
        #expect(status.contains("Uid:\t65534\t65534\t65534\t65534\n"))
        #expect(status.contains("CapEff:\t0000000000000000\n"))
        #expect(status.contains("CapBnd:\t0000000000000000\n"))
        #expect(status.contains("NoNewPrivs:\t1\n"))
        #expect(status.contains("Seccomp:\t2\n"))
        // Its own, beside what it inherits.
        #expect(try Self.filterCount(of: "\(worker.process.id)") == Self.filterCount(of: "self") + 1)
        #expect(try TextFile.read("/proc/\(worker.process.id)/oom_score_adj") == "1000\n")
        _ = try worker.end(atMost: .seconds(5))
    }

    /// How many system-call filters a process is under.
    static func filterCount(of process: String) throws -> Int {
        let line = try TextFile.read("/proc/\(process)/status").split(separator: "\n")
            .first { $0.hasPrefix("Seccomp_filters:") }
        return try #require(line.flatMap { Int($0.filter(\.isNumber)) })
    }

    @Test func `is in the network that it is put into`() throws {
        let temporary = try TemporaryCgroup()
        try withTemporaryNetworkNamespace { (namespace) throws in
            let network = namespace.descriptor.rawValue
            let worker = try start(.cpu(load: 1, threads: 1), network: network, in: temporary)
            try worker.waitUntilReady(atMost: .seconds(5))
            #expect(try NamespaceHandle(.network, ofProcess: worker.process.id).inode == namespace.inode)
            let status = try TextFile.read("/proc/\(worker.process.id)/status")
            #expect(status.contains("CapEff:\t0000000000000000\n"))
            _ = try worker.end(atMost: .seconds(5))
        }
    }

    @Test func `starts under the filter that the engine has`() async throws {
        let temporary = try TemporaryCgroup()
        await #expect(processExitsWith: .success) { [path = temporary.path as String] in
            let placement = try CgroupTree().cgroup(at: path).placement()
            let executable = try WorkerTests.executable.get()
            try SystemCallFilter.engine.load()
            let deadline = BootInstant.now + .seconds(60)
            let order = WorkerOrder(
                session: "filtered", deadline: deadline.nanoseconds, task: .cpu(load: 10, threads: 2))
            let worker = try Worker(order, running: executable, in: placement)
            try worker.waitUntilReady(atMost: .seconds(5))
            let filters = try WorkerTests.filterCount(of: "\(worker.process.id)")
            let exit = try worker.end(atMost: .seconds(5))
            precondition(exit == .killed(signal: SIGKILL) && filters == 2)
        }
        // Not in there: the engine may not.
        temporary.remove()
    }

    @Test(arguments: [Duration.zero, .seconds(1)])
    func `holds the memory that it is told to, and no sooner`(ramp: Duration) throws {
        let temporary = try TemporaryCgroup()
        let began = BootInstant.now
        let worker = try start(
            .memory(bytes: 32 << 20, rampNanoseconds: ramp.wholeNanoseconds), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        #expect(try line(of: worker) == .reached(bytes: 32 << 20, shortBecause: nil))
        #expect(BootInstant.now - began >= ramp)
        let resident = try TextFile.read("/proc/\(worker.process.id)/status").split(separator: "\n")
            .first { $0.hasPrefix("RssAnon:") }
        let kibibytes = try #require(resident.flatMap { Int($0.filter(\.isNumber)) })
        // Its own heap and stacks come on top.
        #expect((32 * 1024)...(34 * 1024) ~= kibibytes)
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test(arguments: [true, false])
    func `uses what it holds again when that is to be hot`(isHot: Bool) throws {
        let temporary = try TemporaryCgroup()
        let worker = try start(.memory(bytes: 8 << 20, rampNanoseconds: 0, isHot: isHot), in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        #expect(try line(of: worker) == .reached(bytes: 8 << 20, shortBecause: nil))
        // The kernel notes which pages are used from here on.
        try TextFile.write("1", to: "/proc/\(worker.process.id)/clear_refs")
        func referenced() throws -> Int {
            try TextFile.read("/proc/\(worker.process.id)/smaps").split(separator: "\n")
                .filter { $0.hasPrefix("Referenced:") }.map { Int($0.filter(\.isNumber)) ?? 0 }.reduce(0, +)
        }
        if isHot {
            #expect(try comesTrue { try referenced() >= 8 << 10 })
        } else {
            usleep(1_500_000)
            #expect(try referenced() < 8 << 10)
        }
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test func `fills the file that it is given, and lets go of it`() throws {
        let temporary = try TemporaryCgroup()
        let directory = try Directory(at: "/tmp", seenBy: getpid())
        let file = try directory.createUnnamedFile(orForAMoment: ".squall-test-\(getpid())")
        let worker = try start(.disk(bytes: 20 << 20, reserve: 0), files: [file.rawValue], in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        #expect(try line(of: worker) == .reached(bytes: 20 << 20, shortBecause: nil))
        var status = stat()
        #expect(fstat(file.rawValue, &status) == 0)
        #expect(status.st_nlink == 0)
        #expect(status.st_blocks * 512 >= 20 << 20)
        #expect(
            try allocatedBytes(ofDescriptor: WorkerTask.diskFile, in: worker.process.id) == Int64(status.st_blocks)
                * 512)
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test(arguments: [true, false])
    func `what it writes is cached, and when it is hot comes back`(isHot: Bool) throws {
        let temporary = try TemporaryCgroup()
        let directory = try Directory(at: "/var/tmp", seenBy: getpid())
        let file = try directory.createUnnamedFile(orForAMoment: ".squall-test-\(getpid())")
        let load = CacheLoad(rampNanoseconds: 500_000_000, isHot: isHot)
        let began = BootInstant.now
        let worker = try start(.cache(load, bytes: 8 << 20, reserve: 0), files: [file.rawValue], in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        #expect(try line(of: worker) == .reached(bytes: 8 << 20, shortBecause: nil))
        #expect(BootInstant.now - began >= .milliseconds(500))
        func cached() throws -> Int64 { try cachedBytes(ofDescriptor: WorkerTask.diskFile, in: worker.process.id) }
        // The kernel, where it is short of memory, takes at once what nobody uses, and of what is used what it needs.
        #expect(try cached() > 4 << 20)
        // Asked to, it lets go of what is clean, and of nothing else.
        #expect(posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_DONTNEED) == 0)
        if isHot {
            #expect(try comesTrue { try cached() == 8 << 20 })
        } else {
            #expect(try cached() == 0)
            usleep(2_500_000)
            #expect(try cached() == 0)
        }
        _ = try worker.end(atMost: .seconds(5))
    }

    /// Whether something is true within twenty seconds: a machine that is busy with more than this takes its time.
    private func comesTrue(_ condition: () throws -> Bool) throws -> Bool {
        let limit = BootInstant.now + .seconds(20)
        while try !condition() {
            if BootInstant.now > limit { return false }
            usleep(50_000)
        }
        return true
    }

    @Test func `leaves a reserve, and says why it stopped`() throws {
        let temporary = try TemporaryCgroup()
        let directory = try Directory(at: "/tmp", seenBy: getpid())
        let file = try directory.createUnnamedFile(orForAMoment: ".squall-test-\(getpid())")
        let available = try directory.space().available
        // More than is free, whatever others do meanwhile.
        let worker = try start(.disk(bytes: 20 << 20, reserve: available * 2), files: [file.rawValue], in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        let reason = "the reserve of \(available * 2) bytes is reached"
        #expect(try line(of: worker) == .reached(bytes: 0, shortBecause: reason))
        _ = try worker.end(atMost: .seconds(5))
    }

    @Test func `is found again by its session, and ended`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        let worker = try start(.cpu(load: 1, threads: 1), session: "lost", in: temporary)
        let other = try start(.cpu(load: 1, threads: 1), session: "other", in: temporary)
        try worker.waitUntilReady(atMost: .seconds(5))
        try other.waitUntilReady(atMost: .seconds(5))

        let found = try workers(in: cgroup, session: "lost")
        #expect(found.map(\.id) == [worker.process.id])
        #expect(found.map(\.startTime) == [try ProcessFacts(ofProcess: worker.process.id).startTime])
        for one in found { try one.end(atMost: .seconds(5)) }
        #expect(try worker.process.reap() == .killed(signal: SIGKILL))
        #expect(other.process.isRunning == true)
        #expect(try workers(in: cgroup, session: "lost") == [])
        // Again is as good.
        for one in found { try one.end(atMost: .seconds(5)) }
        _ = try other.end(atMost: .seconds(5))
    }

    @Test func `a program that only calls itself a worker is none`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        var pipe: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&pipe) == 0)
        // It waits for what nobody writes.
        var order = SpawnOrder(
            executable: try Executable(opening: "/bin/cat"), arguments: ["squall-worker", "/proc/self/fd/0"])
        order.placement = try cgroup.placement()
        order.descriptors = [SpawnOrder.Descriptor(source: pipe[0], target: 0)]
        let child = try Self.thread.get().run { () throws(SpawnError) in try spawn(order) }
        #expect(try cgroup.processes() == [child.id])
        #expect(try workers(in: cgroup, session: "/proc/self/fd/0") == [])
        try child.send(signal: SIGKILL)
        #expect(child.waitUntilEnded(atMost: .seconds(2)) == true)
        _ = try child.reap()
        for end in pipe { close(end) }
    }

    func start(
        _ task: WorkerTask, session: String = "test", until deadline: BootInstant = .now + .seconds(60),
        files: [Int32] = [], network: Int32? = nil, in temporary: TemporaryCgroup
    ) throws -> Worker {
        let order = WorkerOrder(session: session, deadline: deadline.nanoseconds, task: task)
        let executable = try Self.executable.get()
        let placement = try CgroupTree().cgroup(at: temporary.path).placement()
        return try Self.thread.get().run { () throws(WorkerStartError) in
            try Worker(order, running: executable, in: placement, files: files, network: network)
        }
    }

    private func setQuota(of cgroup: Cgroup, percent: Int?) throws {
        switch cgroup.layout {
        case .unified:
            try cgroup.write(percent.map { "\($0 * 1000) 100000" } ?? "max 100000", to: "cpu.max", of: .cpu)
        case .perController:
            try cgroup.write(percent.map { "\($0 * 1000)" } ?? "-1", to: "cpu.cfs_quota_us", of: .cpu)
        }
    }
}

/// What the scheduler has counted for a process's threads.
private struct CPUTime {
    private let instant = BootInstant.now
    private var running: Double = 0
    private var waiting: Double = 0

    init(of process: Int32) throws {
        let fields = try TextFile.read("/proc/\(process)/stat").split(separator: " ")
        running = (Double(fields[13]) ?? 0) + (Double(fields[14]) ?? 0)
        running *= 1e9 / Double(sysconf(Int32(_SC_CLK_TCK)))
        for thread in try TextFile.names(in: "/proc/\(process)/task") {
            let times = try TextFile.read("/proc/\(process)/task/\(thread)/schedstat").split(separator: " ")
            waiting += Double(times[1]) ?? 0
        }
    }

    /// Percent of one CPU, used and waited for.
    func percent(since before: CPUTime) -> (running: Double, waiting: Double) {
        let whole = Double((instant - before.instant).wholeNanoseconds) / 100
        return ((running - before.running) / whole, (waiting - before.waiting) / whole)
    }
}
