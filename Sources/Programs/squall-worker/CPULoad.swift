internal import Glibc
internal import LinuxSystem

/// Starts threads that each use so many percent of one CPU, reached evenly over the ramp. Where every CPU gets as many of
/// them as each other, they stay where they are.
///
/// The corresponding calls are `pthread_create(3)` and `sched_setaffinity(2)`.
func startCPULoad(percent: Double, threads: Int, ramp: Duration) throws(SystemCallError) {
    let cpus = try ownCPUs()
    for number in 0..<threads {
        let cpu = !cpus.isEmpty && threads % cpus.count == 0 ? cpus[number % cpus.count] : nil
        try start(CPULoad(fraction: percent / 100, ramp: ramp, cpu: cpu))
    }
}

private func start(_ load: CPULoad) throws(SystemCallError) {
    let load = Unmanaged.passRetained(load)
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    // A worker has many threads, which need next to no stack, and counts against the target's memory.
    pthread_attr_setstacksize(&attributes, 256 * 1024)
    var thread = pthread_t()
    let failure = pthread_create(
        &thread, &attributes,
        { argument in
            if let argument { Unmanaged<CPULoad>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }, load.toOpaque())
    if failure != 0 {
        load.release()
        throw SystemCallError("pthread_create", on: "CPU load", errno: Errno(rawValue: failure))
    }
}

/// Alternates work and sleep in short periods, steered by the CPU time that the kernel has counted for this thread:
/// so neither other load nor the CPU's clock rate changes the result.
private final class CPULoad: Sendable {
    /// Short enough that each 100 ms of a quota sees the load, long enough that the switching costs nothing.
    private static let period: Int64 = 10_000_000
    /// What others' load or a quota kept from this thread is made up for, but only so much: a thread that was held
    /// for seconds must not run at full load for seconds.
    private static let mostOwed = 2 * period

    private let fraction: Double
    private let ramp: Int64
    private let cpu: Int32?

    init(fraction: Double, ramp: Duration, cpu: Int32?) {
        self.fraction = fraction
        self.ramp = ramp.wholeNanoseconds
        self.cpu = cpu
    }

    func run() -> Never {
        // When the target's CPU set changes, the kernel moves it as it moves all others; and a CPU that has just gone is none
        // to stay on.
        if let cpu { try? stay(onCPU: cpu) }
        var numbers = Xorshift()
        var owed: Int64 = 0
        let begun = now(CLOCK_MONOTONIC)
        // What is for the first period is due at its beginning, as in each.
        var before = begun - Self.period
        var used = now(CLOCK_THREAD_CPUTIME_ID)
        while true {
            let start = now(CLOCK_MONOTONIC)
            let share = start - begun < ramp ? fraction * Double(start - begun) / Double(ramp) : fraction
            owed = min(owed + Int64(share * Double(start - before)), Self.mostOwed)
            before = start
            let end = start + Self.period
            let goal = used + owed
            while now(CLOCK_THREAD_CPUTIME_ID) < goal, now(CLOCK_MONOTONIC) < end { calculate(&numbers) }
            sleep(until: end)
            let usedNow = now(CLOCK_THREAD_CPUTIME_ID)
            owed -= usedNow - used
            used = usedNow
        }
    }

    /// About a microsecond of work that the compiler cannot leave out.
    @inline(never)
    private func calculate(_ numbers: inout Xorshift) {
        for _ in 0..<1000 { _ = numbers.next() }
    }
}
