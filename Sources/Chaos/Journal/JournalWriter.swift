import Glibc
import LinuxSystem

/// The file behind the journal, used from one queue.
final class JournalWriter {
    typealias Completion = (Result<Void, JournalError>) -> Void

    private var file: OwnedDescriptor
    private let path: String
    private let directory: String
    private var length = 0
    private var pending: [UInt8] = []
    private var waiting: [Completion] = []
    /// Why nothing more is written.
    private(set) var broken: String?
    /// Why the last write did not succeed; nil when it did.
    private(set) var lastFailure: String?

    /// A journal that can only be read still says what must be undone: then nothing is ever written.
    init(opening path: String, in directory: String) throws(SystemCallError) {
        self.path = path
        self.directory = directory
        do throws(SystemCallError) {
            file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_APPEND, mode: 0o600)
        } catch let failure {
            file = try OwnedDescriptor.open(path, O_RDONLY)
            broken = "\(failure)"
        }
    }

    func contents() throws(SystemCallError) -> [UInt8] {
        try file.readToEnd(subject: path)
    }

    /// Cuts off what was written half, and writes the header into an empty file.
    func begin(length: Int) {
        guard broken == nil else { return }
        do throws(SystemCallError) {
            try prepareForWriting(length: length)
        } catch {
            broken = "\(error)"
        }
    }

    private func prepareForWriting(length: Int) throws(SystemCallError) {
        self.length = length
        try cut()
        if length == 0 {
            try file.writeAll(JournalLine.header, subject: path)
            self.length = JournalLine.header.count
        }
        try synchronize()
        try synchronizeDirectory()
    }

    /// Takes lines for the next flush. True when one has to be scheduled.
    func add(_ lines: [UInt8], _ completion: @escaping Completion) -> Bool {
        pending += lines
        waiting.append(completion)
        return waiting.count == 1
    }

    func flush() {
        let lines = pending
        let completions = waiting
        pending = []
        waiting = []
        let result = write(lines)
        switch result {
        case .success: lastFailure = nil
        case .failure(let error): lastFailure = "\(error)"
        }
        for completion in completions { completion(result) }
    }

    private func write(_ lines: [UInt8]) -> Result<Void, JournalError> {
        if let broken { return .failure(.broken(broken)) }
        do throws(SystemCallError) {
            try file.writeAll(lines, subject: path)
            try synchronize()
            length += lines.count
            return .success(())
        } catch let failure {
            do throws(SystemCallError) {
                try cut()
            } catch {
                broken = "\(failure), and then \(error)"
            }
            return .failure(.system(failure))
        }
    }

    func replace(with bytes: [UInt8]) -> Result<Void, JournalError> {
        let fresh = path + ".new"
        do throws(SystemCallError) {
            let replacement = try OwnedDescriptor.open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, mode: 0o600)
            try replacement.writeAll(bytes, subject: fresh)
            try Self.synchronize(replacement, subject: fresh)
            try systemCall("rename", on: fresh) { rename(fresh, path) }
            file = replacement
            length = bytes.count
            broken = nil
            lastFailure = nil
            try synchronizeDirectory()
            return .success(())
        } catch {
            return .failure(.system(error))
        }
    }

    private func cut() throws(SystemCallError) {
        let raw = file.rawValue
        try systemCall("ftruncate", on: path) { ftruncate(raw, length) }
    }

    private func synchronize() throws(SystemCallError) {
        try Self.synchronize(file, subject: path)
    }

    private static func synchronize(_ file: borrowing OwnedDescriptor, subject: String) throws(SystemCallError) {
        let raw = file.rawValue
        try systemCall("fdatasync", on: subject) { fdatasync(raw) }
    }

    /// Makes a new name in the directory durable.
    private func synchronizeDirectory() throws(SystemCallError) {
        let folder = try OwnedDescriptor.open(directory, O_RDONLY | O_DIRECTORY)
        let raw = folder.rawValue
        try systemCall("fsync", on: directory) { fsync(raw) }
    }
}
