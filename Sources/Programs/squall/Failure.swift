import AgentAPI
import AgentClient
import ChaosModel

/// Why a command ends without its result: an exit code, and a problem document for people and programs alike.
struct Failure: Error {
    let status: ExitStatus
    /// As the API writes it; made here for what the agent has not seen.
    let document: JSON

    init(_ status: ExitStatus, _ message: String, field: String? = nil, hint: String? = nil) {
        self.status = status
        self.document = .object([
            ("title", .string(status.meaning)),
            ("detail", .string(message)),
            ("field", field.map(JSON.string)),
            ("hint", hint.map(JSON.string)),
        ])
    }

    /// A request that need not be sent to be refused.
    init(_ problem: Problem) {
        self.status = ExitStatus(httpStatus: problem.code.status)
        self.document = problem.json
    }

    /// What the agent answered instead of a result.
    init(_ answer: Answer) {
        self.status = ExitStatus(httpStatus: answer.status)
        self.document = answer.body
    }

    init(_ error: ClientError) {
        self.init(.unreachable, "\(error)", hint: error.remedy)
    }

    var message: String {
        document["detail"]?.stringValue ?? document["title"]?.stringValue ?? "the agent answered \(document.text)"
    }

    /// The stable code of the API's problem; nil for what was found here.
    var code: String? { document["code"]?.stringValue }

    /// For people: the message, then what is wrong with it and what to do.
    var lines: [String] {
        var lines = ["squall: error: \(message)"]
        for name in ["field", "hint", "session"] {
            if let text = document[name]?.stringValue { lines.append("  \(name): \(text)") }
        }
        return lines
    }
}
