internal import Glibc
internal import LinuxSystem
internal import WorkerProtocol

/// Takes memory, evenly over the ramp, and keeps it: anonymous pages, each written once, so that none is shared, and
/// none but a swapped one is taken back by the kernel.
struct MemoryLoad {
    private let start: UnsafeMutableRawPointer
    private let bytes: Int64
    private let ramp: Ramp
    private let page = Int64(sysconf(Int32(_SC_PAGESIZE)))
    private var taken: Int64 = 0
    private var populated: Int64 = 0
    private var numbers = Xorshift()

    /// How much is taken at most before the worker looks whether it shall end: a few milliseconds of work.
    private static let chunk: Int64 = 4 << 20
    /// How much the kernel is asked for at once: little enough to be in a cache still when it is written.
    private static let piece: Int64 = 256 << 10

    /// Reserves addresses, no memory yet.
    ///
    /// The corresponding system call is `mmap(2)`.
    init(bytes: Int64, ramp: Duration) throws(SystemCallError) {
        guard
            let start = mmap(
                nil, Int(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != MAP_FAILED
        else { throw SystemCallError("mmap", on: "\(bytes) bytes", errno: .current) }
        self.start = start
        self.bytes = bytes
        self.ramp = Ramp(to: bytes, within: ramp)
    }

    /// Uses each page once more, so that none looks as if nobody needed it.
    func use() {
        for offset in stride(from: 0, to: taken, by: Int(page)) {
            start.storeBytes(of: offset, toByteOffset: Int(offset) + 8, as: Int64.self)
        }
    }

    /// Takes what is due. Returns how long the worker may wait before it calls again; nil when all is held.
    mutating func goOn() -> Duration? {
        let due = ramp.due
        let end = min(due, taken + Self.chunk)
        while taken < end {
            if taken >= populated { populate(upTo: end) }
            // Unlike any other page, and any page before.
            start.storeBytes(of: numbers.next(), toByteOffset: Int(taken), as: UInt64.self)
            taken += page
        }
        if taken >= bytes { return nil }
        return taken >= due ? Ramp.step : .zero
    }

    /// Has many pages at once, where each would be a fault. A kernel before 5.14 cannot; what is not had by now is had, or
    /// found to be too much, when it is written.
    ///
    /// The corresponding system call is `madvise(2)` with `MADV_POPULATE_WRITE`.
    private mutating func populate(upTo end: Int64) {
        let length = min(Self.piece, end - taken)
        _ = madvise(start + Int(taken), Int(length), MADV_POPULATE_WRITE)
        populated = taken + length
    }
}
