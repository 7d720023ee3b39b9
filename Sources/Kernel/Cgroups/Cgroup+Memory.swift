internal import Glibc
internal import LinuxSystem

/// The most memory that the processes of a cgroup may have together.
package struct MemoryLimit: Hashable, Sendable {
    package let bytes: Int64
    /// The cgroup that sets it: this one, or one above.
    package let path: String
}

extension Cgroup {
    /// The tightest limit that applies to its processes, its own or that of a cgroup above; nil when there is none.
    package func memoryLimit() throws(CgroupFileError) -> MemoryLimit? {
        switch layout {
        case .unified:
            var tightest: MemoryLimit?
            for (path, text) in try readUpwards("memory.max", until: { _ in false }) {
                guard let bytes = Int64(text.prefix(while: \.isNumber)) else {
                    if text.hasPrefix("max") { continue }
                    throw .unreadable(file: "memory.max", text: text)
                }
                if bytes < tightest?.bytes ?? .max { tightest = MemoryLimit(bytes: bytes, path: path) }
            }
            return tightest
        case .perController:
            // The kernel itself says what applies, but not whose it is.
            guard let text = try readIfEnabled("memory.stat", of: .memory) else { return nil }
            guard let bytes = Self.value(of: "hierarchical_memory_limit", in: text) else {
                throw .unreadable(file: "memory.stat", text: text)
            }
            // "No limit" is the largest multiple of a page.
            return bytes > Int64.max - 1 << 20 ? nil : MemoryLimit(bytes: bytes, path: path)
        }
    }

    /// What its processes, those below too, and their files' caches use now.
    ///
    /// The corresponding file is `memory.current`, on v1 `memory.usage_in_bytes`.
    package func memoryUse() throws(CgroupFileError) -> Int64 {
        let file = layout == .unified ? "memory.current" : "memory.usage_in_bytes"
        let text = try read(file, of: .memory)
        guard let bytes = Int64(text.prefix(while: \.isNumber)) else { throw .unreadable(file: file, text: text) }
        return bytes
    }

    /// What the kernel has taken back from it so far, because it was short of memory or had too much of it; nil on v1,
    /// which does not count that.
    package func reclaimedMemory() throws(CgroupFileError) -> Int64? {
        guard layout == .unified, let text = try readIfEnabled("memory.stat", of: .memory) else { return nil }
        return Self.value(of: "pgsteal", in: text).map { $0 * Int64(sysconf(Int32(_SC_PAGESIZE))) }
    }

    /// How many processes the kernel has killed, in this cgroup and below, because memory ran out: by the limit of
    /// this cgroup, of one above, or of the machine. Nil where the controller is off.
    ///
    /// The corresponding file is `memory.events`, on v1 `memory.oom_control`; of the root `/proc/vmstat`.
    package func outOfMemoryKills() throws(CgroupFileError) -> Int64? {
        if isRoot { return try Self.outOfMemoryKillsOfMachine() }
        let file = layout == .unified ? "memory.events" : "memory.oom_control"
        guard let text = try readIfEnabled(file, of: .memory) else { return nil }
        guard let count = Self.value(of: "oom_kill", in: text) else { throw .unreadable(file: file, text: text) }
        return count
    }

    private static func outOfMemoryKillsOfMachine() throws(CgroupFileError) -> Int64? {
        do throws(SystemCallError) {
            return value(of: "oom_kill", in: try TextFile.read("/proc/vmstat"))
        } catch {
            throw .system(error)
        }
    }

    /// Whether the kernel then kills all processes of the cgroup together; never on v1.
    package func diesTogether() throws(CgroupFileError) -> Bool {
        guard layout == .unified, let text = try readIfEnabled("memory.oom.group", of: .memory) else { return false }
        return text.hasPrefix("1")
    }

    /// Of a file with lines as `name 12`.
    static func value(of name: String, in text: String) -> Int64? {
        let beginning = "\(name) ".utf8
        let line = text.utf8.split(separator: 0x0A).first { $0.starts(with: beginning) }
        return line.map { Int64(Substring($0.dropFirst(beginning.count))) ?? .max }
    }
}
