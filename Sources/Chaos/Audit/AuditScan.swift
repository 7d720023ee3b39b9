package import ChaosModel
package import LinuxSystem
import Signatures

/// What an audit log says, and whether it is what was once written.
package struct AuditScan: Sendable {
    package struct Finding: Hashable, Sendable {
        package enum Kind: String, Sendable {
            /// No line of an audit log, or its neighbours do not fit it: something was altered, left out or put in.
            case altered
            /// Lines that were written are there no more.
            case missing
            /// Half a line, after which another file was begun: an engine died as it wrote, or the disk was full.
            case torn
            /// The engine says itself that it could not write some.
            case lost
        }

        package let kind: Kind
        package let file: String
        /// Counted from 1.
        package let line: Int
        /// For people.
        package let words: String
    }

    package private(set) var fileCount = 0
    package private(set) var lineCount = 0
    package private(set) var first: Int64?
    package private(set) var head: AuditHead?
    package private(set) var findings: [Finding] = []

    /// Whether every line is there that the oldest file begins with, and as it was written.
    package var isSound: Bool { !findings.contains { $0.kind == .altered || $0.kind == .missing } }

    /// - Parameter each: Called with every line that can be read, in their order.
    /// - Throws: When a file or the directory cannot be read.
    package init(of stateDirectory: String, each: (JSON) -> Void = { _ in }) throws(SystemCallError) {
        let files = AuditFiles(directory: "\(stateDirectory)/\(AuditLog.directoryName)")
        // Before the files: what is appended meanwhile is beyond it.
        let kept = try files.head()
        var hash: String?
        for path in try files.paths() {
            fileCount += 1
            let lines = Lines(of: try AuditFiles.bytes(of: path))
            for (index, line) in lines.all.enumerated() {
                lineCount += 1
                check(line, at: index + 1, of: path)
                guard let json = line.json else { continue }
                if let kept, json["sequence"]?.integerValue == kept.sequence { hash = line.hash }
                each(json)
            }
            if lines.tornBytes > 0 {
                find(.torn, path, lines.all.count + 1, "\(lines.tornBytes) bytes of a line that was not written whole")
            }
        }
        guard let kept, kept.sequence > 0 else { return }
        let last = files.directory
        if (head?.sequence ?? 0) < kept.sequence {
            find(.missing, last, 0, "the log ends at event \(head?.sequence ?? 0), and had \(kept.sequence)")
        } else if let hash, hash != kept.hash {
            find(.altered, last, 0, "event \(kept.sequence) is another one than was written")
        }
    }

    private mutating func find(_ kind: Finding.Kind, _ file: String, _ line: Int, _ words: String) {
        findings.append(Finding(kind: kind, file: file, line: line, words: words))
    }

    private mutating func check(_ line: Lines.Line, at number: Int, of path: String) {
        guard let json = line.json, let sequence = json["sequence"]?.integerValue,
            let previous = json["previous"]?.stringValue
        else { return find(.altered, path, number, "no line of an audit log") }
        defer { head = AuditHead(sequence: sequence, hash: line.hash) }
        if json["event"]?.stringValue == AuditEvent.Kind.lost.rawValue {
            find(.lost, path, number, "\(json["count"]?.text ?? "some") events could not be written before this one")
        }
        guard let head else { return first = sequence }
        if sequence != head.sequence + 1 {
            find(
                sequence > head.sequence ? .missing : .altered, path, number,
                "event \(sequence) follows event \(head.sequence)")
        } else if previous != head.hash {
            find(.altered, path, number, "the line before event \(sequence) is not the one that was there")
        }
    }

    /// A file taken apart.
    struct Lines {
        struct Line {
            let json: JSON?
            let hash: String
        }

        private(set) var all: [Line] = []
        let byteCount: Int
        /// After the last line feed.
        let tornBytes: Int

        init(of bytes: [UInt8]) {
            byteCount = bytes.count
            var start = bytes.startIndex
            while let end = bytes[start...].firstIndex(of: 0x0A) {
                let line = Array(bytes[start..<end])
                // What cannot be read or hashed is nobody's line.
                all.append(Line(json: try? JSON(parsing: line), hash: (try? SHA256.hex(of: line)) ?? ""))
                start = end + 1
            }
            tornBytes = bytes.count - start
        }

        /// Of the last line; nil where that cannot be read.
        var head: AuditHead? {
            guard let line = all.last, let sequence = line.json?["sequence"]?.integerValue else { return nil }
            return AuditHead(sequence: sequence, hash: line.hash)
        }
    }
}
