import Audit
import ChaosModel
import Glibc
import LinuxSystem
import Testing

/// A state directory that goes with the test.
private final class StateDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/squall-audit.XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit {
        for name in files + ["head", "head.new"] { unlink("\(audit)/\(name)") }
        rmdir(audit)
        rmdir(path)
    }

    var audit: String { "\(path)/audit" }
    var files: [String] { (try? TextFile.names(in: audit).filter { $0.hasSuffix(".jsonl") }) ?? [] }

    func read(_ name: String) throws -> String { try TextFile.read("\(audit)/\(name)") }

    func write(_ text: String, to name: String) throws {
        let file = try OwnedDescriptor.open("\(audit)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        try file.writeAll(Array(text.utf8), subject: name)
    }
}

struct AuditLogTests {
    private let state: StateDirectory

    init() throws {
        state = try StateDirectory()
    }

    @discardableResult
    private func record(_ count: Int, bytes: Int = 1 << 20) -> AuditLog {
        let log = AuditLog(in: state.path, bytes: bytes)
        for number in 0..<count {
            log.record(AuditEvent(.opened, [("session", .string("s-\(number)")), ("none", nil)]))
        }
        log.flush()
        return log
    }

    private func scan() throws -> (AuditScan, [JSON]) {
        var lines: [JSON] = []
        let scan = try AuditScan(of: state.path) { lines.append($0) }
        return (scan, lines)
    }

    private func kinds() throws -> [AuditScan.Finding.Kind] { try scan().0.findings.map(\.kind) }

    @Test func `what was recorded is there, in its order, each line chained to the one before`() async throws {
        let log = record(3)
        let (scan, lines) = try scan()
        #expect(scan.isSound && scan.findings == [] && scan.lineCount == 3 && scan.fileCount == 1)
        #expect(lines.map { $0["sequence"] } == [1, 2, 3])
        #expect(lines.map { $0["session"] } == ["s-0", "s-1", "s-2"] && lines[0]["none"] == nil)
        #expect(lines[0]["event"] == "opened" && lines[0]["previous"]?.stringValue == String(repeating: "0", count: 64))
        #expect(scan.head == log.head && log.head.sequence == 3)
        #expect(await log.trouble() == nil)
    }

    @Test func `another engine takes up where one has stopped`() throws {
        record(2)
        record(2)
        let (scan, lines) = try scan()
        #expect(scan.findings == [] && lines.map { $0["sequence"] } == [1, 2, 3, 4] && scan.fileCount == 1)
    }

    @Test func `a full file is followed by another, and the oldest make room`() throws {
        record(1000, bytes: 8 * 4096)
        let (scan, lines) = try scan()
        #expect(scan.findings == [] && scan.fileCount == AuditLog.mostFiles)
        #expect(lines.last?["sequence"] == 1000 && lines.count < 1000)
        #expect(scan.first == lines.first?["sequence"]?.integerValue)
        for name in state.files { #expect(try state.read(name).utf8.count <= 4096) }
        record(1, bytes: 8 * 4096)
        #expect(try self.scan().0.findings == [])
    }

    // MARK: What was altered

    /// Each line, and each cut.
    @Test func `no line can be altered, left out, doubled or moved`() throws {
        record(5)
        let name = try #require(state.files.first)
        let whole = try state.read(name)
        let lines = whole.split(separator: "\n").map(String.init)
        for index in lines.indices {
            var altered = lines
            altered[index] = altered[index].replacing("s-", with: "S-")
            try state.write(altered.joined(separator: "\n") + "\n", to: name)
            #expect(try !scan().0.isSound, "altered \(index)")

            var without = lines
            without.remove(at: index)
            try state.write(without.joined(separator: "\n") + "\n", to: name)
            // Without the first it is as if the oldest file had made room: an empty file's name would tell.
            #expect(try !scan().0.isSound || index == 0, "without \(index)")

            var doubled = lines
            doubled.insert(lines[index], at: index)
            try state.write(doubled.joined(separator: "\n") + "\n", to: name)
            #expect(try kinds().contains(.altered), "doubled \(index)")

            var moved = lines
            moved.swapAt(index, (index + 1) % lines.count)
            try state.write(moved.joined(separator: "\n") + "\n", to: name)
            #expect(try !scan().0.isSound, "moved \(index)")
        }
        try state.write(whole, to: name)
        #expect(try scan().0.findings == [])
    }

    @Test func `no byte can be another one`() throws {
        record(3)
        let name = try #require(state.files.first)
        let whole = Array(try state.read(name).utf8)
        for index in whole.indices {
            var bytes = whole
            bytes[index] ^= 1
            try state.write(String(decoding: bytes, as: UTF8.self), to: name)
            #expect(try !scan().0.isSound, "byte \(index)")
        }
    }

    @Test func `a log that was cut ends too early`() throws {
        record(5)
        let name = try #require(state.files.first)
        let whole = Array(try state.read(name).utf8)
        for count in 0..<whole.count {
            try state.write(String(decoding: whole[..<count], as: UTF8.self), to: name)
            #expect(try kinds().contains(.missing), "cut at \(count)")
        }
        unlink("\(state.audit)/\(name)")
        #expect(try kinds() == [.missing])
    }

    @Test func `a file between others that is gone is missed`() throws {
        record(200, bytes: 8 * 4096)
        let names = state.files
        try #require(names.count > 2)
        unlink("\(state.audit)/\(names[1])")
        #expect(try kinds() == [.missing])
    }

    // MARK: What goes wrong

    @Test func `half a line is left where it is, and told`() throws {
        record(2)
        let name = try #require(state.files.first)
        try state.write(try state.read(name) + #"{"sequence":3,"ti"#, to: name)
        record(2)
        let (scan, lines) = try scan()
        #expect(scan.isSound && scan.findings.map(\.kind) == [.torn] && scan.fileCount == 2)
        #expect(lines.map { $0["sequence"] } == [1, 2, 3, 4])
    }

    @Test func `what the node's power took with it is told`() throws {
        record(4)
        let name = try #require(state.files.first)
        let lines = try state.read(name).split(separator: "\n")
        try state.write(lines[..<2].joined(separator: "\n") + "\n", to: name)
        record(1)
        let (scan, _) = try scan()
        #expect(scan.findings.map(\.kind) == [.missing] && scan.head?.sequence == 5)
    }

    @Test func `what cannot be written is counted, and told when it can be again`() async throws {
        // A file where the directory should be.
        let file = try OwnedDescriptor.open(state.audit, O_WRONLY | O_CREAT, mode: 0o600)
        _ = consume file
        let log = record(3)
        #expect(await log.trouble()?.contains("Not a directory") == true)
        #expect(log.head.sequence == 0)
        unlink(state.audit)
        // Nobody need record anything for that to be found out.
        #expect(await log.trouble() == nil)
        log.record(AuditEvent(.resumed))
        log.flush()
        let (scan, lines) = try scan()
        #expect(scan.isSound && scan.findings.map(\.kind) == [.lost])
        #expect(lines.map { $0["event"] } == ["lost", "resumed"] && lines[0]["count"] == 3)
    }

    @Test func `of many refusals in a short time some are written, and the others counted`() throws {
        let log = AuditLog(in: state.path)
        for _ in 0..<1000 { log.recordDenial(AuditEvent(.denied), of: "shop") }
        log.recordDenial(AuditEvent(.denied, [("tenant", "bank")]), of: "bank")
        log.record(AuditEvent(.resumed))
        log.flush()
        let (scan, lines) = try scan()
        let denied = lines.count { $0["event"] == "denied" && $0["tenant"] == nil }
        let lost = lines.reduce(0) { $0 + ($1["count"]?.integerValue ?? 0) }
        #expect((100...200).contains(denied) && Int64(denied) + lost == 1000)
        #expect(lines.contains { $0["tenant"] == "bank" } && lines.last?["event"] == "resumed" && scan.isSound)
    }
}
