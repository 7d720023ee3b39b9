import AgentAPI
import AgentClient
import ChaosModel
import Glibc
import Signatures

/// The agent's sessions, by the way that this run takes to them.
enum Agent: Sendable {
    /// As operator, who sees every session.
    case engine(OperatorClient)
    /// As tenant, who sees its own.
    case gateway(Tenancy)

    func sessions() throws(Failure) -> JSON {
        switch self {
        case .engine(let client): try client.body(of: .list)
        case .gateway(let tenancy): try tenancy.body(of: .list)
        }
    }

    func report(on scope: SessionScope) throws(Failure) -> JSON {
        switch self {
        case .engine(let client): try client.body(of: .show(scope))
        case .gateway(let tenancy): try tenancy.body(of: .read(scope))
        }
    }

    /// Ends the session, or all of the group; the answer comes when they are undone, or stuck.
    func revert(_ scope: SessionScope) throws(Failure) -> JSON {
        switch self {
        case .engine(let client): try client.body(of: .revert(scope))
        case .gateway(let tenancy): try tenancy.body(of: .end(scope))
        }
    }

    /// Hands over the session's events, past ones first, until it has ended.
    func events(of id: SessionID, each: (JSON) -> Void) throws(Failure) {
        let refusal: Answer?
        switch self {
        case .engine(let client):
            refusal = try reaching { () throws(ClientError) in try client.items(of: .events(id), each: each) }
        case .gateway(let tenancy):
            let envelope = try tenancy.signed(.events(id))
            refusal = try reaching { () throws(ClientError) in try tenancy.gateway.events(of: envelope, each: each) }
        }
        if let refusal { throw Failure(refusal) }
    }
}

/// A tenant's key, and the gateway that it is used at.
struct Tenancy: Sendable {
    private static let attempts = 5

    let gateway: GatewayClient
    let signer: TokenSigner

    func signed(_ request: TenantRequest) throws(Failure) -> EnvelopeRequest {
        do throws(CryptoError) {
            return try signer.envelope(for: request)
        } catch {
            throw Failure(.notAsAsked, "cannot sign: \(error)")
        }
    }

    func body(of request: TenantRequest) throws(Failure) -> JSON {
        let envelope = try signed(request)
        return try reaching { () throws(ClientError) in try gateway.answer(to: envelope) }.acceptedBody
    }

    func renew(_ scope: SessionScope) throws(Failure) {
        _ = try body(of: .renew(scope))
    }

    /// Opens a session, or a group. When the answer is lost on its way, the same token asks for it again: it cannot open
    /// a second session, and if it has opened the first, the answer names it.
    func inject(_ injection: TenantRequest.Injection) throws(Failure) -> JSON {
        let envelope = try signed(.inject(injection))
        let answer = try reaching { () throws(ClientError) in try persistentAnswer(to: envelope) }
        do throws(Failure) {
            return try answer.acceptedBody
        } catch {
            let opened = SessionScope(memberOf: error.document)
            guard error.code == ProblemCode.replayed.rawValue, let opened else { throw error }
            return try body(of: .read(opened))
        }
    }

    private func persistentAnswer(to envelope: EnvelopeRequest) throws(ClientError) -> Answer {
        var attemptsLeft = Self.attempts
        var wasHeard = false
        while true {
            do throws(ClientError) {
                return try gateway.answer(to: envelope)
            } catch {
                attemptsLeft -= 1
                wasHeard = wasHeard || error.mayHaveBeenHeard
                guard wasHeard, attemptsLeft > 0 else { throw error }
                usleep(500_000)
            }
        }
    }
}

extension ClientError {
    /// Whether the agent may have acted on the request all the same.
    fileprivate var mayHaveBeenHeard: Bool {
        switch failure {
        case .notConnected, .notTheProtocol: false
        case .disconnected, .closedEarly: true
        }
    }
}

extension OperatorClient {
    fileprivate func body(of command: OperatorCommand) throws(Failure) -> JSON {
        try reaching { () throws(ClientError) in try answer(to: command) }.acceptedBody
    }
}

/// Makes what keeps the agent from being reached a failure of the command.
func reaching<Result>(_ ask: () throws(ClientError) -> Result) throws(Failure) -> Result {
    do throws(ClientError) {
        return try ask()
    } catch {
        throw Failure(error)
    }
}

extension Answer {
    /// - Throws: What the agent says instead of yes.
    var acceptedBody: JSON {
        get throws(Failure) {
            guard (200..<300).contains(status) else { throw Failure(self) }
            return body
        }
    }
}
