import Cgroups
import Glibc
import LinuxSystem
import TestKit
import Testing

@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct CgroupTests {
    @Test func `opens a cgroup by its path, and knows it again`() throws {
        let temporary = try TemporaryCgroup()
        let tree = try CgroupTree()
        let cgroup = try tree.cgroup(at: temporary.path)
        #expect(cgroup.path == temporary.path)
        #expect(cgroup.id == (try tree.cgroup(at: temporary.path).id))
        #expect(try cgroup.exists())
        #expect(try cgroup.processes() == [])
    }

    @Test func `a cgroup that takes the path of a removed one is another`() throws {
        let temporary = try TemporaryCgroup()
        let tree = try CgroupTree()
        let cgroup = try tree.cgroup(at: temporary.path)
        temporary.remove()
        #expect(try cgroup.exists() == false)
        #expect(throws: CgroupFileError.gone(path: temporary.path)) { try cgroup.cpuUsage() }

        guard let parent = try cpuHierarchy() else { return }
        mkdir(parent + temporary.path, 0o755)
        #expect(try cgroup.exists() == false)
        #expect(try tree.cgroup(at: temporary.path).id != cgroup.id)
    }

    @Test func `finds a process's cgroup, and reads what it uses`() throws {
        let temporary = try TemporaryCgroup()
        let tree = try CgroupTree()
        guard let file = temporary.file("cgroup.procs"), try cpuHierarchy().map(file.hasPrefix) == true else { return }
        let child = try Child()
        try TextFile.write("\(child.id)", to: file)
        let cgroup = try tree.cgroup(ofProcess: child.id)
        #expect(cgroup.path == temporary.path)
        #expect(try cgroup.processes() == [child.id])
        #expect(try cgroup.cpuUsage() >= .zero)
        #expect(try cgroup.isFrozen() == false)
        try child.end()
    }

    @Test func `the tightest memory limit above a cgroup is its own`() throws {
        let temporary = try TemporaryCgroup()
        let tree = try CgroupTree()
        let cgroup = try tree.cgroup(at: temporary.path)
        // Whatever is above the test's own cgroups; on this level there is none yet.
        let before = try cgroup.memoryLimit()
        guard let file = temporary.file("memory.max") ?? temporary.file("memory.limit_in_bytes") else { return }
        try TextFile.write("\(64 << 20)", to: file)
        let limit = try #require(try cgroup.memoryLimit())
        #expect((limit.bytes, limit.path) == (64 << 20, temporary.path))
        #expect(before.map { $0.bytes > 64 << 20 } ?? true)
        #expect(try cgroup.outOfMemoryKills() == 0)
        #expect(try cgroup.diesTogether() == false)
    }

    @Test func `a limit of CPU time is lowered and put back`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        let before = try cgroup.limit(of: .cpu)
        #expect(before.amount == nil)
        let half = try cgroup.limit(of: .cpu, at: 500_000)
        #expect(half.amount == 500_000)
        try cgroup.set(half, of: .cpu)
        #expect(try cgroup.limit(of: .cpu) == half)
        // The kernel takes no less than a hundredth.
        let least = try cgroup.limit(of: .cpu, at: 1)
        #expect(least.amount == 10_000)
        try cgroup.set(least, of: .cpu)
        #expect(try cgroup.limit(of: .cpu) == least)
        try cgroup.set(before, of: .cpu)
        #expect(try cgroup.limit(of: .cpu) == before)
        #expect(try cgroup.throttledTime() == .zero)
    }

    @Test func `a limit of no time at all is the freezer's`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        guard let file = temporary.file("cgroup.procs") else { return }
        let child = try Child()
        try TextFile.write(
            "\(child.id)", to: temporary.file("freezer.state").map { _ in freezerProcesses(temporary) } ?? file)
        let before = try cgroup.limit(of: .freezer)
        #expect(before.amount == nil)
        let frozen = try cgroup.limit(of: .freezer, at: 0)
        try cgroup.set(frozen, of: .freezer)
        #expect(try cgroup.limit(of: .freezer) == frozen)
        #expect(frozen.texts.contains(frozen.text))
        try cgroup.set(before, of: .freezer)
        #expect(try cgroup.limit(of: .freezer) == before)
        #expect(try cgroup.isFrozen() == false)
        try child.end()
    }

    private func freezerProcesses(_ cgroup: TemporaryCgroup) -> String {
        (cgroup.file("freezer.state") ?? "").replacing("freezer.state", with: "cgroup.procs")
    }

    @Test func `a limit of memory is lowered and put back, and what is beyond is taken back`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        guard cgroup.layout == .unified, temporary.file("memory.high") != nil else {
            #expect(throws: CgroupFileError.self) { try cgroup.limit(of: .memory) }
            return
        }
        let before = try cgroup.limit(of: .memory)
        #expect((before.amount, before.text) == (nil, "max"))
        let limit = try cgroup.limit(of: .memory, at: 1 << 20 + 17)
        #expect(limit.amount.map { $0 % 4096 } == 0)
        let write = try InterruptibleWrite(limit.text, to: cgroup.openLimit(of: .memory))
        while !write.hasEnded { usleep(1000) }
        #expect(write.failure == nil)
        #expect(try cgroup.limit(of: .memory) == limit)
        #expect(try cgroup.memoryUse() >= 0 && cgroup.reclaimedMemory() == 0)
        try cgroup.set(before, of: .memory)
        #expect(try cgroup.limit(of: .memory) == before)
    }

    /// Any disk of this machine: the limit is that of the test's own cgroup.
    private static func anyDisk() throws -> BlockDevice? {
        try TextFile.names(in: "/sys/block").lazy.filter {
            $0.hasPrefix("vd") || $0.hasPrefix("sd") || $0.hasPrefix("nvme")
        }
        .compactMap { BlockDevice(try TextFile.read("/sys/block/\($0)/dev").prefix { !$0.isNewline }) }.first
    }

    private static let hasDiskLimits: Bool = {
        guard let temporary = try? TemporaryCgroup(), (try? anyDisk()) != nil else { return false }
        return temporary.file("io.max") ?? temporary.file("blkio.throttle.io_serviced") != nil
    }()

    @Test(.enabled(if: hasDiskLimits, "needs a disk, and the io controller at the top"), arguments: IOQuantity.allCases)
    func `limits of a disk are lowered and put back each by itself`(quantity: IOQuantity) throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        let disk = try #require(try Self.anyDisk())
        let resources = IOQuantity.allCases.map { LimitedResource.io(disk, $0) }
        for resource in resources {
            #expect(LimitedResource(rawValue: resource.rawValue) == resource)
            #expect(try cgroup.limit(of: resource).amount == nil)
            try cgroup.set(try cgroup.limit(of: resource, at: 1_000_000), of: resource)
        }
        let own = LimitedResource.io(disk, quantity)
        let less = try cgroup.limit(of: own, at: 5000)
        #expect(less.amount == 5000)
        try cgroup.set(less, of: own)
        for resource in resources {
            #expect(try cgroup.limit(of: resource).amount == (resource == own ? 5000 : 1_000_000))
        }
        let none = CgroupLimit(
            amount: nil, text: cgroup.layout == .unified ? "\(disk) \(quantity.rawValue)=max" : "\(disk) 0")
        try cgroup.set(none, of: own)
        #expect(try cgroup.limit(of: own) == none)
        let count = try cgroup.ioCount(of: disk)
        #expect([count.read, count.written, count.reads, count.writes] == [0, 0, 0, 0])
    }

    @Test func `refuses the root`() throws {
        let tree = try CgroupTree()
        #expect(throws: CgroupOpeningError.root) { try tree.cgroup(at: "/") }
        #expect(throws: CgroupOpeningError.root) { try tree.cgroup(at: "//") }
    }

    @Test func `refuses a path from outside of the cgroup namespace`() throws {
        let tree = try CgroupTree()
        #expect(throws: CgroupOpeningError.outsideNamespace(path: "/../../pod")) { try tree.cgroup(at: "/../../pod") }
    }

    @Test(arguments: ["pod", "", "/pod/../other", "/pod/./x", "/pod\0x"])
    func `refuses a malformed path`(path: String) throws {
        let tree = try CgroupTree()
        #expect(throws: CgroupOpeningError.malformed(path: path)) { try tree.cgroup(at: path) }
    }

    @Test func `a missing cgroup is an error of the kernel's`() throws {
        let tree = try CgroupTree()
        #expect(throws: CgroupOpeningError.system(.init("openat2", on: "cgroup /squall-none", errno: .noEntry))) {
            try tree.cgroup(at: "/squall-none")
        }
    }

    @Test func `counts the CPUs of its cpuset`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        #expect(try cgroup.effectiveCPUCount() == sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        guard let cpus = temporary.file("cpuset.cpus") else { return }
        try TextFile.write("0", to: cpus)
        #expect(try cgroup.effectiveCPUCount() == 1)
    }

    @Test func `sees that it is frozen`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        if let state = temporary.file("freezer.state") {
            try TextFile.write("FROZEN", to: state)
        } else if let freeze = temporary.file("cgroup.freeze") {
            try TextFile.write("1", to: freeze)
        }
        #expect(try cgroup.isFrozen())
    }

    @Test func `an error of a write names file, cgroup and data`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        let file = cgroup.layout == .unified ? "cpu.max" : "cpu.cfs_quota_us"
        guard temporary.file(file) != nil else { return }
        do throws(CgroupFileError) {
            try cgroup.write("nonsense", to: file, of: .cpu)
            Issue.record("nonsense was accepted")
        } catch {
            #expect("\(error)" == "write \"nonsense\" to \(file) of cgroup \(temporary.path): Invalid argument")
        }
    }

    @Test func `writes an interface file and reads it back`() throws {
        let temporary = try TemporaryCgroup()
        let cgroup = try CgroupTree().cgroup(at: temporary.path)
        guard cgroup.layout == .perController else { return }
        try cgroup.write("5000", to: "cpu.cfs_quota_us", of: .cpu)
        #expect(try cgroup.read("cpu.cfs_quota_us", of: .cpu) == "5000\n")
    }

    private func cpuHierarchy() throws -> String? {
        let mounts = try MountEntry.all().filter { $0.root == "/" }
        return
            (mounts.first { $0.type == "cgroup" && $0.options.contains("cpu") }
            ?? mounts.first { $0.type == "cgroup2" })?.mountPoint
    }
}
