import CLinux
import Glibc
import LinuxSystem
import Namespaces
import Testing

@Suite(
    .enabled(if: geteuid() == 0, "needs root"),
    .enabled(if: access("/proc/1/ns/cgroup", R_OK) == 0, "this machine hides its first process"))
struct HostCgroupNamespaceTests {
    @Test func `leaves a private cgroup namespace for that of process 1`() async {
        // A thread of this process that changed its namespace would go back to the pool.
        await #expect(processExitsWith: .success) {
            let host = try NamespaceHandle(.cgroup, ofProcess: 1)
            let own = "/proc/thread-self/ns/cgroup"
            try systemCall("unshare", on: "cgroup namespace") { clinux_unshare(host.kind.flag) }
            let inside = try NamespaceHandle(.cgroup, at: own)
            precondition(inside.inode != host.inode)

            try enterHostCgroupNamespace()
            let after = try NamespaceHandle(.cgroup, at: own)
            precondition(after.inode == host.inode)
            // There already.
            try enterHostCgroupNamespace()
            exit(0)
        }
    }
}
