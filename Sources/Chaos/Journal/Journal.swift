package import Authorization
package import ChaosModel
import Dispatch
import Glibc
package import LinuxSystem

package enum JournalError: Error, Sendable, CustomStringConvertible {
    case system(SystemCallError)
    /// Another agent on this node holds the journal.
    case locked(String)
    case unknownFormat(String)
    /// An earlier write may have left half a line and could not be taken back.
    case broken(String)

    package var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .locked(let path): "\(path) is held by another agent"
        case .unknownFormat(let header): "a journal of another format: \(header)"
        case .broken(let reason): "the journal can no longer be written: \(reason)"
        }
    }
}

/// The durable record of what must be taken back: one file, appended to, each commit one `write(2)` and one
/// `fdatasync(2)` for all the entries that were waiting.
///
/// A commit that fails has changed nothing: the file is cut back to where it was, and if not even that works,
/// nothing more is written, because a later line after half a line would be lost with it.
package final class Journal: Sendable {
    package static let fileName = "journal"
    /// Where an agent keeps it unless it is told otherwise.
    package static let standardDirectory = "/var/lib/squall"
    /// When it is compacted, at the least, unless the agent is told otherwise.
    package static let standardBytes = 1 << 20

    package let path: String
    private let queue = DispatchQueue(label: "squall.journal", target: .global())
    /// Used on `queue` only.
    nonisolated(unsafe) private let writer: JournalWriter

    /// Opens the journal in a directory, or begins one, and tells what it says. One that cannot be written is read all
    /// the same, since what it says must be undone; each commit then fails.
    ///
    /// - Throws: The error of the system call that failed, or `unknownFormat`.
    package static func open(
        in directory: String
    ) throws(JournalError) -> (journal: Journal, scan: JournalScan) {
        let path = "\(directory)/\(fileName)"
        let writer: JournalWriter
        let bytes: [UInt8]
        do throws(SystemCallError) {
            writer = try JournalWriter(opening: path, in: directory)
            bytes = try writer.contents()
        } catch {
            throw .system(error)
        }
        let scan = try JournalScan(of: bytes)
        writer.begin(length: bytes.count - scan.tornBytes)
        return (Journal(path: path, writer: writer), scan)
    }

    /// Reads a journal that another process may have open: writes nothing, takes no lock, and takes a line that is
    /// being written meanwhile for torn bytes.
    ///
    /// - Parameter each: Called with every line below the header, in their order.
    /// - Throws: The error of the system call that failed, or `unknownFormat`.
    package static func read(
        in directory: String, each: (JournalRecord) -> Void
    ) throws(JournalError) -> JournalScan {
        let path = "\(directory)/\(fileName)"
        let bytes: [UInt8]
        do throws(SystemCallError) {
            bytes = try OwnedDescriptor.open(path, O_RDONLY).readToEnd(subject: path)
        } catch {
            throw .system(error)
        }
        return try JournalScan(of: bytes, each: each)
    }

    private init(path: String, writer: JournalWriter) {
        self.path = path
        self.writer = writer
    }

    /// Returns once the entries are on disk. Entries of callers that wait at the same time share one `fdatasync`.
    ///
    /// - Parameter isBeginning: There has to be room behind them, as behind those that open a session.
    /// - Returns: The journal's length in bytes.
    @discardableResult
    package func commit(_ entries: [JournalEntry], isBeginning: Bool = false) async throws(JournalError) -> Int {
        let wall = wallSeconds()
        let lines = entries.flatMap { JournalLine.encode(["wall": .integer(wall), "body": $0.json]) }
        let isBeginning = isBeginning || entries.contains { $0.isBeginning }
        let result = await withCheckedContinuation { continuation in
            queue.async { [self] in
                if writer.add(lines, isBeginning: isBeginning, { continuation.resume(returning: $0) }) {
                    // Behind every commit that is already in the queue: one flush serves them all.
                    queue.async { [self] in writer.flush() }
                }
            }
        }
        return try result.get()
    }

    /// Why it cannot be written, or could not the last time; nil when nothing is wrong with it.
    package var failure: String? {
        get async {
            await withCheckedContinuation { continuation in
                queue.async { [self] in continuation.resume(returning: writer.broken ?? writer.lastFailure) }
            }
        }
    }

    /// Replaces the file by one that holds only what still matters: sessions that live, those that ended last, and
    /// tokens that have not expired. A crash at any point leaves either the old file or the new one.
    ///
    /// - Parameters:
    ///   - past: Of these the last are kept, in at most `mostPastBytes`.
    ///   - highWater: The latest wall time that the journal knew, which it goes on knowing.
    /// - Returns: The journal's length in bytes.
    @discardableResult
    package func compact(
        keeping live: [OpenedSession], past: [PastSession], mostPastBytes: Int = .max, tokens: [TakenToken],
        halt: Halt?,
        highWater: Int64
    ) async throws(JournalError) -> Int {
        let wall = max(wallSeconds(), highWater)
        func lines(_ entries: [JournalEntry]) -> [UInt8] {
            entries.flatMap { JournalLine.encode(["wall": .integer(wall), "body": $0.json]) }
        }
        var pastLines: [[UInt8]] = []
        var room = mostPastBytes
        for session in past.reversed() {
            let both = lines([.opened(session.opened), .ended(session.ended)])
            room -= both.count
            if room < 0 { break }
            pastLines.append(both)
        }
        let kept = Set((past.suffix(pastLines.count).map(\.opened) + live).map(\.token))
        let rest =
            live.map { JournalEntry.opened($0) }
            + tokens.filter { token in token.expires >= wall - 60 && !kept.contains(token) }
            .map { .tokenTaken($0) }
        let bytes =
            JournalLine.header + lines([.clockSeen] + (halt.map { [.halted($0)] } ?? []))
            + Array(pastLines.reversed().joined()) + lines(rest)
        let result: Result<Void, JournalError> = await withCheckedContinuation { continuation in
            queue.async { [self] in continuation.resume(returning: writer.replace(with: bytes)) }
        }
        try result.get()
        return bytes.count
    }
}
