import Glibc
package import LinuxSystem

/// What makes sure that one agent at a time has a journal.
///
/// The corresponding system call is `flock(2)`.
package enum AgentLock {
    /// Nil when an agent has it.
    package static func takeIfFree(in stateDirectory: String) throws(SystemCallError) -> OwnedDescriptor? {
        let file = try OwnedDescriptor.open(path(in: stateDirectory), O_RDWR | O_CREAT, mode: 0o600)
        if flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 { return file }
        if Errno.current == .wouldBlock { return nil }
        throw SystemCallError("flock", on: path(in: stateDirectory), errno: .current)
    }

    /// Waits until an agent that has it is done.
    static func take(in stateDirectory: String) throws(SystemCallError) -> OwnedDescriptor {
        if let lock = try takeIfFree(in: stateDirectory) { return lock }
        let path = path(in: stateDirectory)
        say("waiting for the agent that holds \(path)")
        let file = try OwnedDescriptor.open(path, O_RDWR)
        let raw = file.rawValue
        try systemCall("flock", on: path) { flock(raw, LOCK_EX) }
        return file
    }

    private static func path(in stateDirectory: String) -> String { "\(stateDirectory)/lock" }
}
