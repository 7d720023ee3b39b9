import ChaosModel
import Glibc
import LinuxSystem
import Signatures

/// Where the lines are: files in one directory, each named for its first event's number, the last one growing.
///
/// A line is a JSON object that ends with `"previous"`, the SHA-256 of the line before it. So no line can be altered, left out
/// or put in without all after it; what was cut off at the end, the file `head` tells.
struct AuditFiles {
    static let suffix = ".jsonl"
    static let headName = "head"

    let directory: String

    /// The files' paths, the oldest first.
    func paths() throws(SystemCallError) -> [String] {
        try TextFile.names(in: directory).filter { $0.hasSuffix(Self.suffix) }.map { "\(directory)/\($0)" }
    }

    func path(of sequence: Int64) -> String {
        let digits = String(sequence)
        return "\(directory)/\(String(repeating: "0", count: max(0, 12 - digits.count)))\(digits)\(Self.suffix)"
    }

    static func bytes(of path: String) throws(SystemCallError) -> [UInt8] {
        try OwnedDescriptor.open(path, O_RDONLY).readToEnd(subject: path)
    }

    /// As it was a second ago or less; nil where there is none.
    func head() throws(SystemCallError) -> AuditHead? {
        do throws(SystemCallError) {
            let text = try TextFile.read("\(directory)/\(Self.headName)")
            // What cannot be read tells nothing, and is written anew.
            return (try? JSON(parsing: Array(text.utf8))).flatMap(AuditHead.init)
        } catch {
            if error.errno == .noEntry { return nil }
            throw error
        }
    }

    /// Replaces it whole.
    ///
    /// The corresponding system call is `rename(2)`.
    func write(_ head: AuditHead) throws(SystemCallError) {
        let path = "\(directory)/\(Self.headName)"
        let fresh = try OwnedDescriptor.open("\(path).new", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        try fresh.writeAll(head.json.bytes + [0x0A], subject: path)
        try systemCall("rename", on: path) { rename("\(path).new", path) }
    }
}
