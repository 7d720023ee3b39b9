internal import Glibc
internal import LinuxSystem
internal import NameResolution
internal import WorkerFilter
internal import WorkerProtocol

/// The harm itself: a small program that works in a target's cgroup until its deadline, or until its standard input
/// ends, which is when the engine lets go of it or dies. It holds nothing that would have to be cleaned up.
@main
enum SquallWorker {
    static func main() {
        guard let order = WorkerOrder(arguments: CommandLine.arguments) else {
            complain("\(WorkerOrder.programName): started by squalld only: SESSION DEADLINE TASK")
            end(.badArguments)
        }
        do throws(SystemCallError) {
            setProgramName(WorkerOrder.programName)
            let timer = try BootTimer()
            try timer.arm(for: BootInstant(nanoseconds: order.deadline))
            // A connection that has ended is an error of the write, and no signal.
            signal(SIGPIPE, SIG_IGN)
            // It does nothing before it can do nothing else.
            try WorkerFilter(for: order.task).load()
            let work = try begin(order.task)
            try tell(.ready)
            end(try waitForEnd(timer: timer, while: work))
        } catch {
            fail("\(error)")
        }
    }

    /// Does a part of the work that the main thread does, and says when to call it again; nil for never.
    private typealias Work = () throws(SystemCallError) -> Duration?

    private static func begin(_ task: WorkerTask) throws(SystemCallError) -> Work {
        switch task {
        case .cpu(let load, let threads, let ramp):
            try startCPULoad(percent: load, threads: threads, ramp: .nanoseconds(ramp))
            return { () throws(SystemCallError) in nil }
        case .memory(let bytes, let ramp, let isHot):
            var load = try MemoryLoad(bytes: bytes, ramp: .nanoseconds(ramp))
            var isGrowing = true
            return { () throws(SystemCallError) in
                guard isGrowing else {
                    load.use()
                    return .seconds(1)
                }
                if let pause = load.goOn() { return pause }
                try tell(.reached(bytes: bytes, shortBecause: nil))
                isGrowing = false
                return isHot ? .seconds(1) : nil
            }
        case .lookUp(let names, let servers):
            let work = NameServers(
                (0..<Int32(servers)).map { WorkerTask.firstFile + $0 }, until: .now + WorkerTask.lookupLimit)
            var next = 0
            return { () throws(SystemCallError) in
                guard next < names.count else { return nil }
                switch work.lookUp(names[next]) {
                case .found(let addresses, let isWhole):
                    try tell(.found(index: next, isWhole: isWhole, addresses: addresses))
                case .missing(let reason, let isCertain):
                    try tell(.missing(index: next, isCertain: isCertain, reason: reason))
                }
                next += 1
                return .zero
            }
        case .io(let io, let bytes, let reserve):
            var load = DiskLoad(
                OwnedDescriptor(adopting: WorkerTask.diskFile), bytes: bytes, reserve: reserve, mustWrite: true)
            var isGrowing = true
            return { () throws(SystemCallError) in
                guard isGrowing else {
                    if try load.lacksReserve() { fail("others need the reserve of \(reserve) bytes") }
                    return .seconds(1)
                }
                switch try load.grow() {
                case .more: return .zero
                case .full:
                    try startIOLoad(io, file: WorkerTask.diskFile, bytes: bytes) { fail("\($0)") }
                    try tell(.reached(bytes: load.size, shortBecause: nil))
                    isGrowing = false
                    return .seconds(1)
                case .short(let reason): fail("its file of \(bytes) bytes cannot be written: \(reason)")
                }
            }
        case .network(let load):
            try startNetworkLoad(load) { fail($0) }
            return { () throws(SystemCallError) in nil }
        case .cache(let cache, let bytes, let reserve):
            var load = DiskLoad(
                OwnedDescriptor(adopting: WorkerTask.diskFile), bytes: bytes, reserve: reserve, mustWrite: true)
            let ramp = Ramp(to: bytes, within: .nanoseconds(cache.rampNanoseconds))
            var isGrowing = true
            return { () throws(SystemCallError) in
                guard isGrowing else {
                    try load.keepReserve()
                    if cache.isHot, try load.readOn() { return .zero }
                    return .seconds(1)
                }
                let due = ramp.due
                switch try load.grow(to: due) {
                case .more: return load.size < due ? .zero : Ramp.step
                case .full: try tell(.reached(bytes: load.size, shortBecause: nil))
                case .short(let reason): try tell(.reached(bytes: load.size, shortBecause: reason))
                }
                isGrowing = false
                return .seconds(1)
            }
        case .disk(let bytes, let reserve):
            var load = DiskLoad(OwnedDescriptor(adopting: WorkerTask.diskFile), bytes: bytes, reserve: reserve)
            var isGrowing = true
            return { () throws(SystemCallError) in
                guard isGrowing else {
                    try load.keepReserve()
                    return .seconds(1)
                }
                switch try load.grow() {
                case .more: return .zero
                case .full: try tell(.reached(bytes: load.size, shortBecause: nil))
                case .short(let reason): try tell(.reached(bytes: load.size, shortBecause: reason))
                }
                isGrowing = false
                return .seconds(1)
            }
        }
    }

    private static func waitForEnd(timer: borrowing BootTimer, while work: Work) throws(SystemCallError)
        -> WorkerExitStatus
    {
        var events = [
            pollfd(fd: timer.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
            // The engine never writes, so whatever happens here is its end.
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        ]
        var pause: Duration? = .zero
        while true {
            let milliseconds = pause.map { Int32(clamping: $0.wholeNanoseconds / 1_000_000) } ?? -1
            if try systemCall("poll", on: "standard input", { poll(&events, nfds_t(events.count), milliseconds) }) > 0 {
                return events[0].revents != 0 ? .deadline : .engineGone
            }
            pause = try work()
            // From here on this thread only waits.
            if pause == nil { letGoOfProgramPages() }
        }
    }

    private static func tell(_ message: WorkerMessage) throws(SystemCallError) {
        var line = message.line
        try systemCall("write", on: "standard output") {
            line.withUTF8 { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        }
    }

    private static func fail(_ reason: String) -> Never {
        do throws(SystemCallError) {
            try tell(.failed(reason: reason))
        } catch {
            complain("\(WorkerOrder.programName): \(error)")
        }
        end(.failed)
    }

    private static func complain(_ text: String) {
        var line = text + "\n"
        _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// At once, whatever the threads are doing.
    ///
    /// The corresponding system call is `exit_group(2)`.
    private static func end(_ status: WorkerExitStatus) -> Never {
        _exit(status.rawValue)
    }
}
