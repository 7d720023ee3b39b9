internal import Glibc
package import LinuxSystem
internal import Processes

/// A child of the test that does nothing until it is ended, and ends with the test's process.
package struct Child: ~Copyable {
    package let handle: ProcessHandle
    package var id: Int32 { handle.id }

    package init() throws {
        var order = SpawnOrder(executable: try Executable(opening: "/bin/sleep"), arguments: ["sleep", "60"])
        // The thread of a test may end before the test does.
        order.signalAtParentDeath = 0
        handle = try spawn(order)
    }

    package consuming func end() throws {
        try handle.send(signal: SIGKILL)
        _ = handle.waitUntilEnded(atMost: .seconds(5))
        _ = try handle.reap()
    }
}
