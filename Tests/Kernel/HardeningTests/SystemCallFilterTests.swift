import Glibc
import Hardening
import LinuxSystem
import Netlink
import Synchronization
import Testing

/// A filter cannot be taken off, so each test runs in a process of its own.
struct SystemCallFilterTests {
    @Test func `refuses what is not allowed, and allows the rest`() async {
        await #expect(processExitsWith: .success) {
            try SystemCallFilter.gateway.load()
            precondition(mkdir("/tmp/squall-filtered", 0o700) == -1 && errno == EPERM)
            precondition(fork() == -1 && errno == EPERM)
            precondition(kill(getpid(), 0) == -1 && errno == EPERM)
            precondition(open("/proc/self/status", O_RDONLY) == -1 && errno == EPERM)
            exit(0)
        }
    }

    @Test func `looks at arguments`() async {
        await #expect(processExitsWith: .success) {
            try SystemCallFilter.runtimes.load()
            let stream = Int32(SOCK_STREAM.rawValue)
            precondition(socket(AF_UNIX, stream, 0) >= 0)
            precondition(socket(AF_INET, stream, 0) == -1 && errno == EPERM)
            precondition(open("/dev/null", O_RDONLY) >= 0)
            precondition(open("/dev/null", O_WRONLY) == -1 && errno == EPERM)
            precondition(mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            exit(0)
        }
    }

    @Test(arguments: [AF_INET, AF_INET6])
    func `lets the engine make the internet sockets that workers need, and no others`(family: Int32) async {
        await #expect(processExitsWith: .success) { [family] in
            try SystemCallFilter.engine.load()
            let peer = InternetAddress(
                bytes: family == AF_INET ? [127, 0, 0, 1] : [UInt8](repeating: 0, count: 15) + [1], port: 9)
            // Whether anybody is there does not matter.
            for transport in InternetTransport.allCases {
                do throws(SystemCallError) {
                    _ = try OwnedDescriptor.connected(to: peer, over: transport)
                } catch {
                    precondition(error.call == "connect")
                }
            }
            let flags = Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            let raw = Int32(SOCK_RAW.rawValue) | flags
            let sequenced = Int32(SOCK_SEQPACKET.rawValue) | flags
            precondition(socket(family, raw, Int32(IPPROTO_UDP)) == -1 && errno == EPERM)
            precondition(socket(family, sequenced, 132) == -1 && errno == EPERM)
            precondition(socket(family, Int32(SOCK_STREAM.rawValue) | flags, 262) == -1 && errno == EPERM)
            precondition(socket(AF_PACKET, raw, 0) == -1 && errno == EPERM)
            exit(0)
        }
    }

    /// Not under the gateway's, which has threads of its own alone: Dispatch reads its threads' states from `/proc` now and
    /// then, and ends the program when it may not.
    @Test(arguments: ["runtimes", "engine"])
    func `lets tasks run`(name: String) async {
        await #expect(processExitsWith: .success) { [name] in
            try (name == "engine" ? SystemCallFilter.engine : .runtimes).load()
            let sum = await withTaskGroup(of: Int.self) { group in
                for number in 0..<100 { group.addTask { number } }
                return await group.reduce(0, +)
            }
            precondition(sum == 4950)
            try await Task.sleep(for: .milliseconds(10))
            exit(0)
        }
    }

    @Test(arguments: ["gateway", "runtimes", "engine"])
    func `lets threads run`(name: String) async {
        await #expect(processExitsWith: .success) { [name] in
            let filters: [String: SystemCallFilter] = ["gateway": .gateway, "runtimes": .runtimes, "engine": .engine]
            try filters[name]?.load()
            let sum = Mutex(0)
            let threads = try (0..<100).map { number in try startThread { sum.withLock { $0 += number } } }
            for thread in threads { pthread_join(thread, nil) }
            precondition(sum.withLock { $0 } == 4950)
            exit(0)
        }
    }

    @Test func `lets the engine load no code into the kernel`() async {
        await #expect(processExitsWith: .success) {
            try SystemCallFilter.engine.load()
            let refusal = #expect(throws: SystemCallError.self) { try CgroupClassifiers() }
            exit(refusal?.call == "bpf BPF_MAP_CREATE" && refusal?.errno == .notPermitted ? 0 : 1)
        }
    }

    @Test func `holds for threads that were there before`() async {
        await #expect(processExitsWith: .success) {
            let thread = try Waiting()
            try SystemCallFilter.gateway.load()
            precondition(thread.finish() == EPERM)
            exit(0)
        }
    }

    @Test func `names a call that nobody knows`() {
        let filter = SystemCallFilter(name: "test", rules: [.allow("frobnicate", because: "test")])
        #expect(throws: SystemCallFilterError.unknownCall("frobnicate")) { try filter.load() }
    }

    @Test(arguments: [SystemCallFilter.gateway, .runtimes, .engine].map(\.name))
    func `no rule is there twice`(name: String) {
        let filter = [SystemCallFilter.gateway, .runtimes, .engine].first { $0.name == name }
        let rules = filter?.rules ?? []
        #expect(Set(rules.map { "\($0.name) \($0.conditions)" }).count == rules.count)
    }
}

/// A thread that tries to make a directory when it is told to.
private final class Waiting: @unchecked Sendable {
    private var pipe: [Int32] = [-1, -1]
    private var thread = pthread_t()
    private var result: Int32 = 0

    init() throws {
        _ = Glibc.pipe(&pipe)
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Waiting>.fromOpaque(argument).takeUnretainedValue().run() }
                return nil
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func run() {
        var byte: UInt8 = 0
        _ = read(pipe[0], &byte, 1)
        result = mkdir("/tmp/squall-filtered", 0o700) == -1 ? errno : 0
    }

    func finish() -> Int32 {
        var byte: UInt8 = 1
        _ = write(pipe[1], &byte, 1)
        pthread_join(thread, nil)
        return result
    }
}
