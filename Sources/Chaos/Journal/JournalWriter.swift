import Glibc
import LinuxSystem

/// The file behind the journal, used from one queue.
final class JournalWriter {
    /// With the journal's length after it.
    typealias Completion = (Result<Int, JournalError>) -> Void

    private struct Waiting {
        let lines: [UInt8]
        /// It begins something, and so needs room for its end too.
        let isBeginning: Bool
        let completion: Completion
    }

    /// Room that is kept for the ends of what has begun: a full disk must not make them unknown.
    private static let reserve = 256 << 10

    private var file: OwnedDescriptor
    private let path: String
    private let directory: String
    private var length = 0
    private var waiting: [Waiting] = []
    /// Why nothing more is written, until everything could be written again to another file.
    private(set) var broken: String?
    /// It never can.
    private let isReadOnly: Bool
    /// An `fdatasync(2)` failed: which of the file's pages are on the disk nobody knows, and the next one would not tell.
    /// Everything is written again, to another file, before anything more is.
    private var isSuspect = false
    /// Why the last write did not succeed; nil when it did.
    private(set) var lastFailure: String?

    /// A journal that can only be read still says what must be undone: then nothing is ever written.
    init(opening path: String, in directory: String) throws(SystemCallError) {
        self.path = path
        self.directory = directory
        do throws(SystemCallError) {
            file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_APPEND, mode: 0o600)
            isReadOnly = false
        } catch let failure {
            file = try OwnedDescriptor.open(path, O_RDONLY)
            isReadOnly = true
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
    func add(_ lines: [UInt8], isBeginning: Bool, _ completion: @escaping Completion) -> Bool {
        waiting.append(Waiting(lines: lines, isBeginning: isBeginning, completion: completion))
        return waiting.count == 1
    }

    func flush() {
        var together = waiting
        waiting = []
        var canBegin = together.contains(where: \.isBeginning)
        if canBegin, let refusal = refusalToReserve(for: together) {
            canBegin = false
            lastFailure = "\(refusal)"
            for each in together where each.isBeginning { each.completion(.failure(refusal)) }
            together.removeAll(where: \.isBeginning)
            if together.isEmpty { return }
        }
        let result = write(together.flatMap(\.lines))
        switch result {
        case .failure(let error): lastFailure = "\(error)"
        // What ends is written into the room that is kept for it: that does not say that anything could begin.
        case .success: if canBegin { lastFailure = nil }
        }
        for each in together { each.completion(result.map { length }) }
    }

    /// Why there is no room for these lines and the reserve behind them; nil when there is.
    private func refusalToReserve(for together: [Waiting]) -> JournalError? {
        if case .failure(let error) = mend() { return error }
        let bytes = together.reduce(0) { $0 + $1.lines.count } + Self.reserve
        do throws(SystemCallError) {
            try file.reserve(bytes, at: length, subject: path)
            return nil
        } catch {
            // Not every file system can.
            return error.errno == Errno(rawValue: EOPNOTSUPP) ? nil : .system(error)
        }
    }

    private func write(_ lines: [UInt8]) -> Result<Void, JournalError> {
        if case .failure(let error) = mend() { return .failure(error) }
        do throws(SystemCallError) {
            try file.writeAll(lines, subject: path)
            isSuspect = true
            try synchronize()
            isSuspect = false
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

    /// Writes everything again, to another file, when nobody knows what this one's disk has of it.
    private func mend() -> Result<Void, JournalError> {
        guard broken != nil || isSuspect else { return .success(()) }
        if isReadOnly { return .failure(.broken(broken ?? "it is read-only")) }
        do throws(SystemCallError) {
            let bytes = try OwnedDescriptor.open(path, O_RDONLY).readToEnd(subject: path).prefix(length)
            return replace(with: bytes.isEmpty ? JournalLine.header : Array(bytes))
        } catch {
            return .failure(.system(error))
        }
    }

    func replace(with bytes: [UInt8]) -> Result<Void, JournalError> {
        let fresh = path + ".new"
        do throws(SystemCallError) {
            let folder = try OwnedDescriptor.open(directory, O_RDONLY | O_DIRECTORY)
            let replacement = try OwnedDescriptor.open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, mode: 0o600)
            try replacement.writeAll(bytes, subject: fresh)
            try Self.synchronize(replacement, subject: fresh)
            try systemCall("rename", on: fresh) { rename(fresh, path) }
            file = replacement
            length = bytes.count
            broken = nil
            isSuspect = false
            lastFailure = nil
            do throws(SystemCallError) {
                try Self.synchronize(directory: folder, at: directory)
            } catch {
                // A power failure might bring the old file back, without what would be written to the new one.
                broken = "\(error)"
                throw error
            }
            return .success(())
        } catch {
            // With what may be the disk's last bytes.
            unlink(fresh)
            return .failure(.system(error))
        }
    }

    private func cut() throws(SystemCallError) {
        // Cutting nothing off would give back what was reserved.
        if try file.status(subject: path).st_size == length { return }
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
        try Self.synchronize(
            directory: try OwnedDescriptor.open(directory, O_RDONLY | O_DIRECTORY), at: directory)
    }

    private static func synchronize(
        directory: borrowing OwnedDescriptor, at path: String
    ) throws(SystemCallError) {
        let raw = directory.rawValue
        try systemCall("fsync", on: path) { fsync(raw) }
    }
}
