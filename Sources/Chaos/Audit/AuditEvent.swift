package import ChaosModel

/// Something that was decided or done on this node: who, what, which target, allowed or why not, undone how.
package struct AuditEvent: Sendable {
    /// The words never change.
    package enum Kind: String, CaseIterable, Sendable {
        /// An engine began to serve.
        case started
        /// A request was allowed, and its session is on disk.
        case opened
        /// A request was refused.
        case denied
        /// A tenant or an operator asked for a session's end.
        case endRequested = "end-requested"
        /// A session is over, with what became of each step.
        case ended
        case halted
        case resumed
        /// Another policy is in force, or the one on disk was refused.
        case policy
        /// Other keys are in force, or those on disk were refused.
        case keys
        /// Events that could not be written, or were too many to write.
        case lost
    }

    package let kind: Kind
    package let members: [JSON.Member]

    package init(_ kind: Kind, _ members: [(String, JSON?)] = []) {
        self.kind = kind
        self.members = members.compactMap { name, value in value.map { JSON.Member(name, $0) } }
    }
}

/// The audit log's last line: who has written it down elsewhere knows later whether the log was cut.
package struct AuditHead: Hashable, Sendable {
    /// The number of the last event; 0 before the first.
    package let sequence: Int64
    /// SHA-256 of the last line, in hexadecimal digits.
    package let hash: String

    static let none = AuditHead(sequence: 0, hash: String(repeating: "0", count: 64))

    package var json: JSON { ["sequence": .integer(sequence), "hash": .string(hash)] }

    init(sequence: Int64, hash: String) {
        self.sequence = sequence
        self.hash = hash
    }

    init?(_ json: JSON) {
        guard let sequence = json["sequence"]?.integerValue, let hash = json["hash"]?.stringValue else { return nil }
        self.init(sequence: sequence, hash: hash)
    }
}
