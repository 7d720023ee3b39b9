import Glibc
import LinuxSystem
import Testing
import WorkerFilter
import WorkerProtocol

/// A filter cannot be taken off, so each test runs in a process of its own. Root needs not give up new privileges first.
@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct WorkerFilterTests {
    static let tasks: [WorkerTask] = [
        .cpu(load: 1, threads: 1), .memory(bytes: 1, rampNanoseconds: 0), .disk(bytes: 1, reserve: 0),
        IOLoad(readPercent: 50, blockSize: 4096, threads: 1, isDirect: false)
            .map { .io($0, bytes: 4096, reserve: 0) },
        NetworkLoad(
            .udp, to: InternetAddress(bytes: [10, 1, 2, 3], port: 9), bitsPerSecond: 8000, blockSize: 64, sockets: 1
        ).map(WorkerTask.network),
        .lookUp(names: [["db"]], servers: 1),
        .cache(CacheLoad(rampNanoseconds: 0, isHot: true), bytes: 4096, reserve: 0),
    ].compactMap(\.self)

    @Test(arguments: tasks.indices)
    func `leaves a worker no file to open, no socket to make, no program to start`(task: Int) async {
        await #expect(processExitsWith: .success) { [task] in
            let stream = Int32(SOCK_STREAM.rawValue)
            let there = socket(AF_UNIX, stream, 0)
            try WorkerFilter(for: WorkerFilterTests.tasks[task]).load()
            func isRefused(_ result: Int32) -> Bool { result == -1 && errno == EPERM }
            precondition(isRefused(open("/etc/hostname", O_RDONLY)))
            for family in [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] {
                precondition(isRefused(socket(family, stream, 0)))
            }
            precondition(isRefused(listen(there, 1)) && isRefused(shutdown(there, Int32(SHUT_RDWR))))
            precondition(isRefused(fork()) && isRefused(execv("/bin/true", [nil])))
            precondition(isRefused(kill(getppid(), 0)) && isRefused(setuid(0)) && isRefused(dup(0)))
            precondition(mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            precondition(mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            _exit(0)
        }
    }

    @Test(arguments: tasks.indices)
    func `lets only those start threads that need them`(task: Int) async {
        await #expect(processExitsWith: .success) { [task] in
            let task = WorkerFilterTests.tasks[task]
            try WorkerFilter(for: task).load()
            var began = true
            do throws(SystemCallError) {
                pthread_join(try startThread {}, nil)
            } catch {
                began = false
            }
            let needsThem =
                switch task {
                case .cpu, .io, .network: true
                case .memory, .disk, .cache, .lookUp: false
                }
            precondition(began == needsThem)
            _exit(0)
        }
    }

    @Test(arguments: tasks.indices)
    func `no rule is there twice`(task: Int) {
        let rules = WorkerFilter(for: Self.tasks[task]).rules
        #expect(Set(rules.map(\.call)).count == rules.count)
        #expect(!rules.contains { $0.reason.isEmpty })
    }
}
