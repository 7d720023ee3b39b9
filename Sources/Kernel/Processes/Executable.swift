internal import CLinux
internal import Glibc
package import LinuxSystem

/// A program held open, to be run by its descriptor.
package final class Executable: Sendable {
    package let descriptor: OwnedDescriptor

    /// Copies a program into memory, under a name, and seals it. A container in whose cgroup or namespaces it runs can
    /// reach the program's file through `/proc/PID/exe`: what it finds there is a copy that nobody can change.
    ///
    /// The corresponding system calls are `memfd_create(2)` and `fcntl(2)` with `F_ADD_SEALS`.
    package init(copying path: String, named name: String) throws(SystemCallError) {
        let source = try OwnedDescriptor.open(path, O_RDONLY)
        let copy = OwnedDescriptor(
            adopting: try systemCall("memfd_create", on: name) { clinux_memfd_executable(name) })
        try copy.writeAll(try source.readToEnd(subject: path), subject: name)
        try systemCall("fchmod", on: name) { fchmod(copy.rawValue, 0o555) }
        try systemCall("fcntl F_ADD_SEALS", on: name) { clinux_memfd_seal(copy.rawValue) }
        descriptor = copy
    }

    /// The file itself, for a program that runs where we run.
    package init(opening path: String) throws(SystemCallError) {
        descriptor = try OwnedDescriptor.open(path, O_RDONLY)
    }
}
