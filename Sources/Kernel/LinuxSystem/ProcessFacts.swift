internal import Glibc

/// What `/proc` tells of a process. A number alone names no process: hold a `ProcessHandle` first,
/// read the facts, then see that the handle still runs.
package struct ProcessFacts: Hashable, Sendable {
    /// Clock ticks from boot to the start of the process, field 22 of `/proc/PID/stat`:
    /// with the process number and the boot it names one process.
    package let startTime: UInt64
    package let parent: Int32
    package let state: Character
    package let command: String
    /// CPU time of all its threads, in the kernel's clock ticks of mostly 10 ms: also of one that has ended, until it is
    /// reaped.
    package let cpuTime: Duration

    /// - Throws: `ENOENT` or `ESRCH` when there is no such process.
    package init(ofProcess id: Int32) throws(SystemCallError) {
        let path = "/proc/\(id)/stat"
        let text = try TextFile.read(path)
        // The command is in parentheses and may hold anything, parentheses and blanks included, and marks that would join
        // them to other characters: so bytes are looked at.
        let bytes = text.utf8
        guard let open = bytes.firstIndex(of: UInt8(ascii: "(")), let close = bytes.lastIndex(of: UInt8(ascii: ")")),
            open < close
        else { throw SystemCallError("parse", on: path, errno: .invalidArgument) }
        let fields = text[bytes.index(after: close)...].split(separator: " ")
        guard fields.count > 19, let startTime = UInt64(fields[19]), let parent = Int32(fields[1]),
            let user = Int64(fields[11]), let system = Int64(fields[12])
        else {
            throw SystemCallError("parse", on: path, errno: .invalidArgument)
        }
        self.startTime = startTime
        self.parent = parent
        self.state = fields[0].first ?? "?"
        self.cpuTime = .nanoseconds((user + system) * (1_000_000_000 / Int64(sysconf(Int32(_SC_CLK_TCK)))))
        self.command = String(decoding: bytes[bytes.index(after: open)..<close], as: UTF8.self)
    }
}

/// Names this process's pid namespace among those of this boot.
///
/// The corresponding system call is `stat(2)` of `/proc/self/ns/pid`.
package func pidNamespaceInode() throws(SystemCallError) -> UInt64 {
    UInt64(try fileStatus(at: "/proc/self/ns/pid").st_ino)
}

/// What a process has read from disks and written to them, in bytes; what goes through the caches counts as written when
/// it is written into them.
package struct ProcessIO: Hashable, Sendable {
    package let read: Int64
    package let written: Int64
    /// Bytes that its calls have written to anything, a socket too.
    package let handedOver: Int64
    /// Calls that read or write anything, as `pread(2)` and `pwrite(2)`.
    package let readCalls: Int64
    package let writeCalls: Int64

    /// The corresponding file is `/proc/PID/io`.
    package init(ofProcess id: Int32) throws(SystemCallError) {
        let path = "/proc/\(id)/io"
        let text = try TextFile.read(path)
        func value(_ name: String) -> Int64? {
            text.split(separator: "\n").first { $0.hasPrefix(name + ": ") }.flatMap {
                Int64($0.dropFirst(name.count + 2))
            }
        }
        guard let read = value("read_bytes"), let written = value("write_bytes"),
            let handedOver = value("wchar"), let readCalls = value("syscr"), let writeCalls = value("syscw")
        else {
            throw SystemCallError("parse", on: path, errno: .invalidArgument)
        }
        self.read = read
        self.written = written
        self.handedOver = handedOver
        self.readCalls = readCalls
        self.writeCalls = writeCalls
    }
}
