/// Where and as whom one logs in.
package struct SSHServer: Hashable, Sendable {
    package let host: String
    package let port: UInt16
    package let user: String
    /// A private key without a passphrase.
    package let keyFile: String
    /// Whose keys are trusted, as sshd(8) has it; nobody else's are.
    package let knownHostsFile: String

    package init(host: String, port: UInt16, user: String, keyFile: String, knownHostsFile: String) {
        (self.host, self.port, self.user) = (host, port, user)
        (self.keyFile, self.knownHostsFile) = (keyFile, knownHostsFile)
    }
}

/// Why nothing came of it: for people, lower case, no full stop.
package struct SSHError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String

    package init(reason: String) { self.reason = reason }

    package var description: String { reason }
}

/// What a program there came to.
package struct SSHOutcome: Hashable, Sendable {
    package var output: [UInt8] = []
    /// The last of what it wrote to standard error.
    package var complaint: [UInt8] = []
    /// Nil for one that was ended by a signal.
    package var exitCode: Int32?
    /// Without its SIG, as the protocol has it.
    package var signal: String?
}

/// For a POSIX shell, which is what the other side reads a command with (RFC 4254, 6.5).
package enum ShellWords {
    /// A command of just these words.
    package static func text(_ words: [String], environment: [(name: String, value: String)] = []) -> String {
        let settings = environment.map { "\($0.name)=\($0.value)" }
        return ((settings.isEmpty ? [] : ["env"] + settings) + words).map(quoted).joined(separator: " ")
    }

    private static func quoted(_ word: String) -> String {
        // By bytes, as the shell reads it: to Swift a quote with an accent on it would be another character.
        let quote = UInt8(ascii: "'")
        let parts = word.utf8.split(separator: quote, omittingEmptySubsequences: false)
        return String(decoding: [quote] + Array(parts.joined(separator: Array("'\\''".utf8))) + [quote], as: UTF8.self)
    }
}
