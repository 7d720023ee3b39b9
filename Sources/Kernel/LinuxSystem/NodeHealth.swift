internal import CLinux
import Glibc

/// How short a node is of something: the share of the last ten seconds in which processes waited for it (pressure stall
/// information, `Documentation/accounting/psi.rst` of the kernel).
package enum Pressure: String, CaseIterable, Sendable {
    case cpu
    case memory
    case io

    /// In percent: of memory and of input and output, the time in which nobody got on; of CPUs, in which somebody did not.
    ///
    /// - Throws: `ENOENT` where the kernel keeps no account; `EBADMSG` for what is none.
    package func average() throws(SystemCallError) -> Double {
        let path = "/proc/pressure/\(rawValue)"
        guard let average = average(in: try TextFile.read(path)) else {
            throw SystemCallError("read", on: path, errno: Errno(rawValue: EBADMSG))
        }
        return average
    }

    package func average(in text: String) -> Double? {
        let wanted = self == .cpu ? "some" : "full"
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(wanted) ") }
        let field = line?.split(separator: " ").first { $0.hasPrefix("avg10=") }
        return field.flatMap { Double($0.dropFirst("avg10=".count)) }
    }
}

/// How much of a file system is free for those who are not root, in percent.
///
/// The corresponding system call is `fstatfs(2)`.
package func freeShare(ofFileSystemOf path: String) throws(SystemCallError) -> Double {
    let file = try OwnedDescriptor.open(path, O_RDONLY)
    let raw = file.rawValue
    var space = clinux_space()
    try systemCall("fstatfs", on: path) { clinux_get_space(raw, &space) }
    return space.total == 0 ? 100 : Double(space.available) / Double(space.total) * 100
}
