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
    ///
    /// - Parameters:
    ///   - suggestion: What was probably meant.
    ///   - remedy: What to do, where the problem does not say.
    init(_ problem: Problem, suggesting suggestion: String? = nil, remedy: String? = nil) {
        self.status = ExitStatus(httpStatus: problem.code.status)
        let hint = [suggestion.map { "did you mean \($0)?" }, problem.hint ?? remedy].compactMap(\.self)
        let told = Problem(
            problem.code, problem.message, field: problem.field,
            hint: hint.isEmpty ? nil : hint.joined(separator: " "), about: problem.scope)
        self.document = told.json
    }

    /// What the agent answered instead of a result.
    init(_ answer: Answer) {
        self.status = ExitStatus(httpStatus: answer.status)
        let remedy =
            answer.body["code"]?.stringValue == ProblemCode.sessionNotFound.rawValue
            ? "'squall session list' shows those that there are; a tenant sees only its own" : nil
        self.document = answer.body.with(hint: remedy)
    }

    init(_ error: ClientError) {
        self.init(.unreachable, "\(error)", hint: error.remedy)
    }

    init(_ error: TenantError) {
        switch error {
        case .unsigned: self.init(.notAsAsked, "\(error)")
        case .unreached(let error): self.init(error)
        case .refused(let answer): self.init(answer)
        }
    }

    var message: String {
        document["detail"]?.stringValue ?? document["title"]?.stringValue ?? "the agent answered \(document.text)"
    }

    /// The stable code of the API's problem; nil for what was found here.
    var code: String? { document["code"]?.stringValue }

    /// For people: the message, then what is wrong with it and what to do.
    var lines: [String] {
        var lines = ["squall: error: \(message)"]
        for name in ["field", "hint", "session", "group"] {
            if let text = document[name]?.stringValue { lines.append("  \(name): \(text)") }
        }
        return lines.map(Output.printable)
    }
}

extension JSON {
    /// The problem with a hint, unless it has one.
    fileprivate func with(hint: String?) -> JSON {
        guard let hint, let members, self["hint"] == nil else { return self }
        return .object(members + [Member("hint", .string(hint))])
    }
}
