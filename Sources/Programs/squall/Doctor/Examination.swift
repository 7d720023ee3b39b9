import AgentAPI
import AgentClient
import ChaosModel
import LinuxSystem

/// What the agent says of itself and its node, and what can be seen from here.
struct Examination {
    /// Nil when no agent answers.
    private(set) var node: JSON?
    private(set) var checks: [Check] = []

    init(of connection: ConnectionOptions) {
        ask("gateway", at: connection.socket) { query throws(ClientError) in
            try connection.gateway.answer(to: query)
        }
        // The engine's socket and processes are there on the node, or in the agent's own container.
        if connection.isOperator {
            ask("engine", at: connection.engineSocket) { query throws(ClientError) in
                try connection.engine.answer(to: query)
            }
            checks += AgentProcesses.checks() + Surroundings.checks()
        }
        guard let node else { return }
        checks += NodeReport(node).checks
        if connection.isOperator, let path = node["journal"]?["path"]?.stringValue {
            checks.append(JournalSpace.check(path))
        }
    }

    private mutating func ask(
        _ name: String, at socket: String, _ question: (PublicQuery) throws(ClientError) -> Answer
    ) {
        let start = BootInstant.now
        do throws(Failure) {
            let body = try reaching { () throws(ClientError) in try question(.node) }.acceptedBody
            let milliseconds = (BootInstant.now - start).wholeNanoseconds / 1_000_000
            checks.append(Check(name, .ok, "\(socket) answers in \(milliseconds) ms"))
            guard node == nil else { return }
            node = body
            let readiness = try reaching { () throws(ClientError) in try question(.readiness) }
            checks.append(Self.readiness(readiness.body))
        } catch {
            checks.append(Check(name, .missing, error.message, remedy: error.document["hint"]?.stringValue))
        }
    }

    private static func readiness(_ body: JSON) -> Check {
        if body["ready"] == true { return Check("readiness", .ok, "new sessions are taken") }
        let reasons = (body["reasons"]?.arrayValue ?? []).compactMap(\.stringValue)
        return Check("readiness", .missing, reasons.isEmpty ? "not ready" : reasons.joined(separator: "; "))
    }
}
