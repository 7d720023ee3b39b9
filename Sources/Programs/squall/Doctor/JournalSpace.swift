import Glibc
import LinuxSystem

/// Whether the journal has room to grow.
enum JournalSpace {
    /// Some hundred thousand entries.
    private static let plenty: UInt64 = 64 << 20

    /// The corresponding call is `statvfs(3)`.
    static func check(_ path: String) -> Check {
        let name = "journal space"
        var volume = statvfs()
        do throws(SystemCallError) {
            try systemCall("statvfs", on: path) { statvfs(path, &volume) }
        } catch {
            return Check(name, .warning, "\(error)", remedy: "run this where the agent has its journal")
        }
        let free = UInt64(volume.f_bavail) * UInt64(volume.f_frsize)
        let text = "\(free >> 20) MiB free for \(path)"
        guard free < plenty else { return Check(name, .ok, text) }
        return Check(name, .warning, text, remedy: "a full volume lets no session begin: make room")
    }
}
