import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel

extension SessionID {
    /// Reads a session's name as an argument.
    init(argument: String) throws {
        guard let id = SessionID(argument) else {
            throw ArgumentRefusal(
                description: "a session's name is s- and 16 hexadecimal digits, as 'squall session list' shows it")
        }
        self = id
    }
}

extension SessionScope {
    /// Reads the name of a session or a group as an argument.
    init(argument: String) throws {
        guard let scope = SessionScope(argument) else {
            throw ArgumentRefusal(
                description: """
                    a session's name is s- and 16 hexadecimal digits, as 'squall session list' shows it; a group's is g- \
                    and as many, as 'squall session show' tells it of its sessions
                    """)
        }
        self = scope
    }
}

extension GroupID {
    /// Reads a group's name as an argument.
    init(argument: String) throws {
        guard let id = GroupID(argument) else {
            throw ArgumentRefusal(description: "a group's name is g- and 16 hexadecimal digits")
        }
        self = id
    }
}

/// What a token is about that is about something that lives.
struct ScopeOptions: ParsableArguments {
    @Option(help: "The session.", completion: .sessions, transform: SessionID.init(argument:))
    var session: SessionID?

    @Option(help: "The group, in place of a session.", transform: GroupID.init(argument:))
    var group: GroupID?

    /// Nil where nothing is named.
    var optional: SessionScope? { session.map(SessionScope.session) ?? group.map(SessionScope.group) }

    var scope: SessionScope {
        get throws(Failure) {
            guard let optional else {
                throw Failure(.invalid, "no session is named", field: "--session", hint: "give --session or --group")
            }
            return optional
        }
    }

    func validate() throws {
        guard session == nil || group == nil else {
            throw ValidationError("--session and --group exclude each other")
        }
    }
}

/// Why the argument parser cannot take a value: what it would take instead.
struct ArgumentRefusal: Error, CustomStringConvertible {
    let description: String
}

extension CompletionKind {
    /// The sessions that an operator may name; a tenant's are not asked for, since each question takes a token.
    static let sessions = CompletionKind.custom { words, _, _ in
        SessionNames.known(to: words)
    }
}

/// What completion offers for a session.
private enum SessionNames {
    /// A shell waits for it.
    private static let timeout = Duration.seconds(2)

    static func known(to words: [String]) -> [String] {
        let socket = value(of: "--engine-socket", in: words) ?? ConnectionOptions.standardEngineSocket
        guard ConnectionOptions.isOperator(at: socket), value(of: "--key", in: words) == nil else { return [] }
        let client = OperatorClient(socket: socket, timeout: timeout)
        do throws(ClientError) {
            let answer = try client.answer(to: .list)
            return (answer.body["sessions"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }
        } catch {
            // Nothing to offer; the command itself will say why.
            return []
        }
    }

    private static func value(of option: String, in words: [String]) -> String? {
        if let joined = words.last(where: { $0.hasPrefix(option + "=") }) {
            return String(joined.dropFirst(option.count + 1))
        }
        guard let index = words.lastIndex(of: option), index + 1 < words.count else { return nil }
        return words[index + 1]
    }
}
