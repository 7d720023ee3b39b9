/// The name of one session on one node: `s-` and 16 hexadecimal digits, drawn at random.
package struct SessionID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static func random() -> SessionID { SessionID(unchecked: randomName("s-")) }

    /// Nil for anything that `random()` cannot have made.
    package init?(_ text: some StringProtocol) {
        guard isRandomName(text, "s-") else { return nil }
        self.text = String(text)
    }

    private init(unchecked text: String) { self.text = text }

    package var description: String { text }
}

/// The name of sessions that one request has opened together: `g-` and 16 hexadecimal digits, drawn at random.
package struct GroupID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static func random() -> GroupID { GroupID(unchecked: randomName("g-")) }

    /// Nil for anything that `random()` cannot have made.
    package init?(_ text: some StringProtocol) {
        guard isRandomName(text, "g-") else { return nil }
        self.text = String(text)
    }

    private init(unchecked text: String) { self.text = text }

    package var description: String { text }
}

/// What a request is about that is about something that lives: one session, or all of a group.
package enum SessionScope: Hashable, Sendable, CustomStringConvertible {
    case session(SessionID)
    case group(GroupID)

    /// Nil for the name of neither.
    package init?(_ text: some StringProtocol) {
        if let session = SessionID(text) {
            self = .session(session)
        } else if let group = GroupID(text) {
            self = .group(group)
        } else {
            return nil
        }
    }

    package var text: String {
        switch self {
        case .session(let session): session.text
        case .group(let group): group.text
        }
    }

    /// How a token's claim and a document's member are called that name it.
    package var kind: String {
        switch self {
        case .session: "session"
        case .group: "group"
        }
    }

    package var member: (String, JSON?) { (kind, .string(text)) }

    /// What names a scope among a document's members; nil where nothing does.
    package init?(memberOf json: JSON) {
        let session = json["session"]?.stringValue.flatMap { SessionID($0) }
        let group = json["group"]?.stringValue.flatMap { GroupID($0) }
        guard let scope = session.map(SessionScope.session) ?? group.map(SessionScope.group) else { return nil }
        self = scope
    }

    package var description: String { "\(kind) \(text)" }
}

private func randomName(_ prefix: String) -> String {
    let digits = String(UInt64.random(in: .min ... .max), radix: 16)
    return prefix + String(repeating: "0", count: 16 - digits.count) + digits
}

private func isRandomName(_ text: some StringProtocol, _ prefix: String) -> Bool {
    text.hasPrefix(prefix) && text.dropFirst(prefix.count).isHexadecimal(digits: 16)
}

extension StringProtocol {
    /// As many digits, with letters in lower case.
    func isHexadecimal(digits: Int) -> Bool {
        utf8.count == digits && utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// Who owns keys and sessions: 1 to 63 lower-case letters, digits and inner hyphens, as a Kubernetes name.
package struct Tenant: Hashable, Sendable, CustomStringConvertible {
    package let name: String

    package init?(_ name: some StringProtocol) {
        guard (1...63).contains(name.utf8.count), name.first != "-", name.last != "-",
            name.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D })
        else { return nil }
        self.name = String(name)
    }

    package var description: String { name }
}
