import ChaosModel
import Glibc
import LinuxSystem

/// A process by its program's name is looked for among all that run, once: it is the one that is found then, by its number and
/// start time, whatever is called so later.
extension TargetResolver {
    private static let longestUsers = 1 << 20
    private static let mostNamed = 8

    func process(called name: ProcessName) throws(Problem) -> ResolvedTarget {
        let user = try name.user.map { (text) throws(Problem) in try Self.user(text) }
        var found: [Int32: ProcessFacts] = [:]
        let numbers: [String]
        do throws(SystemCallError) {
            numbers = try TextFile.names(in: "/proc")
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target.process")
        }
        for id in numbers.compactMap({ Int32($0) }) where id > 1 && id != getpid() {
            // It may have ended since. A worker of ours is no part of any target.
            guard let facts = try? ProcessFacts(ofProcess: id), facts.parent != getpid(),
                facts.command == name.program || Self.program(id) == name.program,
                user == nil || Self.user(ofProcess: id) == user
            else { continue }
            found[id] = facts
        }
        // Those that it has started are its own affair, as the workers of a server.
        let first = found.filter { found[$0.value.parent] == nil }.sorted { $0.value.startTime < $1.value.startTime }
        guard let one = first.first else {
            throw Problem(.targetNotFound, "no process is called \(name.words)", field: "target.process")
        }
        guard first.count == 1 else {
            let some = first.prefix(Self.mostNamed).map { "\($0.key)" }.joined(separator: ", ")
            throw Problem(
                .targetAmbiguous, "\(first.count) processes are called \(name.words): \(some)", field: "target.process",
                hint: "name one by its pid, or the user whose it is")
        }
        return try process(one.key, startTime: one.value.startTime)
    }

    /// The name of its file; nil for a thread of the kernel's, or one that cannot be looked at.
    private static func program(_ id: Int32) -> String? {
        guard var path = try? TextFile.destination(ofLink: "/proc/\(id)/exe") else { return nil }
        // Of a file that was replaced by an upgrade.
        if path.hasSuffix(" (deleted)") { path.removeLast(" (deleted)".count) }
        return path.split(separator: "/").last.map(String.init)
    }

    /// Whose it really is, on the node; nil for one that has ended.
    private static func user(ofProcess id: Int32) -> UInt32? {
        guard let text = try? TextFile.read("/proc/\(id)/status"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Uid:") })
        else { return nil }
        return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { UInt32($0) }
    }

    /// By number, or as passwd(5) has it where the agent runs.
    private static func user(_ text: String) throws(Problem) -> UInt32 {
        if let number = UInt32(text) { return number }
        let users = (try? TextFile.read("/etc/passwd", atMost: longestUsers)) ?? ""
        for line in users.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, fields[0] == text, let number = UInt32(fields[2]) { return number }
        }
        throw Problem(
            .targetNotFound, "the agent knows no user \(text)", field: "target.process.user",
            hint: "give the user's number")
    }
}
