import Authorization
import ChaosModel
import Glibc
import LinuxSystem
import Signatures

/// A directory of key files that is gone with its owner.
final class KeyFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/squall-keys-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemCallError("mkdtemp", on: "/tmp", errno: .current) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        for name in (try? TextFile.names(in: path)) ?? [] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    func write(_ text: String, to name: String) throws {
        // As an operator should: whole, and at once.
        let file = try OwnedDescriptor.open("\(path)/.new", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        try file.writeAll(text.utf8, subject: name)
        try systemCall("rename", on: name) { rename("\(path)/.new", "\(path)/\(name)") }
    }

    func write(_ keys: [JSON], of tenant: String) throws {
        try write((["keys": .array(keys)] as JSON).text, to: "\(tenant).jwks.json")
    }
}

extension JSON {
    /// The object with other or further members; without those that are nil.
    func with(_ changes: [(String, JSON?)]) -> JSON {
        let changed = Set(changes.map(\.0))
        let kept = (members ?? []).filter { !changed.contains($0.name) }
        return .object(kept + changes.compactMap { name, value in value.map { Member(name, $0) } })
    }
}
