import Glibc
import Synchronization

/// How the agent's processes write what whoever reads the container's log is told.
package enum LogFormat: String, CaseIterable, Sendable {
    /// Lines for people: `squalld: the policy was reloaded`.
    case text
    /// A JSON object on each line, for what collects logs.
    case json
}

package enum LogLevel: String, Sendable {
    case info, warning, error
}

/// The log of one process, on standard error.
package enum AgentLog {
    private static let shared = Mutex((format: LogFormat.text, program: "squall"))

    /// Says how lines are written from here on, and by whom.
    package static func begin(as program: String, in format: LogFormat) {
        shared.withLock { $0 = (format, program) }
    }

    /// Writes one line.
    ///
    /// - Parameter members: What a machine wants to know beside the message, which tells people all of it.
    package static func write(
        _ message: String, _ level: LogLevel = .info, _ members: [(String, String?)] = []
    ) {
        let (format, program) = shared.withLock { $0 }
        switch format {
        case .text: StandardStream.error.writeLine("\(program): \(message.safeProse)")
        case .json:
            let given: [(String, String?)] =
                [("time", wallTimestamp()), ("level", level.rawValue), ("program", program), ("message", message)]
                + members
            let text = given.compactMap { name, value in value.map { "\(quoted(name)):\(quoted($0.safeProse))" } }
            StandardStream.error.writeLine("{\(text.joined(separator: ","))}")
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension Unicode.Scalar {
    /// What comes from elsewhere and is shown to people makes no line of its own, and turns no text around.
    package var isSafeProse: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: false
        default: !properties.isBidiControl
        }
    }
}

extension String {
    /// With a mark in place of what is not safe to show.
    fileprivate var safeProse: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.isSafeProse ? $0 : "\u{FFFD}" }))
    }
}
