import ChaosModel
import Glibc
import LinuxSystem
import Signatures

/// Appends lines, used from one queue.
final class AuditWriter {
    private let files: AuditFiles
    /// A file that has more is followed by another one.
    private let fileBytes: Int
    private let mostFiles: Int
    private var file: OwnedDescriptor?
    private var path = ""
    private var length = 0
    private(set) var head: AuditHead?
    private var isSynchronized = true

    init(directory: String, fileBytes: Int, mostFiles: Int) {
        files = AuditFiles(directory: directory)
        self.fileBytes = fileBytes
        self.mostFiles = mostFiles
    }

    /// - Throws: With nothing written, or half a line, after which another file is begun.
    func append(_ event: AuditEvent, at milliseconds: Int64) throws(AuditError) {
        do throws(SystemCallError) {
            let head = try current()
            let line = Self.line(event, after: head, at: milliseconds)
            let hash = try Self.hash(of: line)
            try open(for: head.sequence + 1, count: line.count + 1)
            do throws(SystemCallError) {
                try file?.writeAll(line + [0x0A], subject: path)
            } catch {
                file = nil
                throw error
            }
            length += line.count + 1
            isSynchronized = false
            self.head = AuditHead(sequence: head.sequence + 1, hash: hash)
        } catch {
            throw AuditError(description: "\(error)")
        }
    }

    private static func line(_ event: AuditEvent, after head: AuditHead, at milliseconds: Int64) -> [UInt8] {
        let first: [JSON.Member] = [
            JSON.Member("sequence", .integer(head.sequence + 1)), JSON.Member("time", .integer(milliseconds)),
            JSON.Member("event", .string(event.kind.rawValue)),
        ]
        return JSON.object(first + event.members + [JSON.Member("previous", .string(head.hash))]).bytes
    }

    private static func hash(of line: [UInt8]) throws(SystemCallError) -> String {
        do throws(CryptoError) {
            return try SHA256.hex(of: line)
        } catch {
            throw SystemCallError("EVP_Digest", on: "the audit log", errno: .noMemory)
        }
    }

    private func current() throws(SystemCallError) -> AuditHead {
        if let head { return head }
        return try resume()
    }

    /// Takes up where an engine before has stopped.
    private func resume() throws(SystemCallError) -> AuditHead {
        try ensureDirectory(files.directory, mode: 0o700)
        var last = AuditHead.none
        if let path = try files.paths().last {
            let scan = AuditScan.Lines(of: try AuditFiles.bytes(of: path))
            last = scan.head ?? last
            // Half a line stays where it is, and so does a file whose end cannot be read.
            if scan.tornBytes == 0, scan.head != nil {
                file = try OwnedDescriptor.open(path, O_WRONLY | O_APPEND)
                self.path = path
                length = scan.byteCount
            }
        }
        // What was lost with the node's power is seen by the number that is missing.
        if let kept = try files.head(), kept.sequence > last.sequence { last = kept }
        head = last
        return last
    }

    private func open(for sequence: Int64, count: Int) throws(SystemCallError) {
        if file != nil, length == 0 || length + count <= fileBytes { return }
        file = nil
        path = files.path(of: sequence)
        file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        length = 0
        for old in try files.paths().dropLast(mostFiles) { try systemCall("unlink", on: old) { unlink(old) } }
    }

    /// Makes durable what was appended.
    ///
    /// The corresponding system call is `fdatasync(2)`.
    func synchronize() throws(AuditError) {
        guard !isSynchronized, let head else { return }
        do throws(SystemCallError) {
            if let raw = file?.rawValue { try systemCall("fdatasync", on: path) { fdatasync(raw) } }
            try files.write(head)
            isSynchronized = true
        } catch {
            throw AuditError(description: "\(error)")
        }
    }
}

/// Why nothing can be recorded.
package struct AuditError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}
