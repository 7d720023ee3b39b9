package import AgentAPI
package import ChaosModel
import Glibc
package import Signatures

/// A tenant's key, and the gateway that it is used at.
package struct TenantClient: Sendable {
    private static let attempts = 5

    package let gateway: GatewayClient
    private let signer: TokenSigner

    package init(gateway: GatewayClient, signer: TokenSigner) {
        self.gateway = gateway
        self.signer = signer
    }

    /// The same, with answers that come sooner or not at all.
    package func within(_ timeout: Duration) -> TenantClient {
        TenantClient(gateway: gateway.within(timeout), signer: signer)
    }

    package func signed(_ request: TenantRequest) throws(TenantError) -> EnvelopeRequest {
        do throws(CryptoError) {
            return try signer.envelope(for: request)
        } catch {
            throw .unsigned(error)
        }
    }

    package func body(of request: TenantRequest) throws(TenantError) -> JSON {
        let envelope = try signed(request)
        return try Self.reaching { () throws(ClientError) in try gateway.answer(to: envelope) }.acceptedBody
    }

    package func renew(_ scope: SessionScope) throws(TenantError) {
        _ = try body(of: .renew(scope))
    }

    /// Hands over the session's events, past ones first, until it has ended.
    package func events(of id: SessionID, each: (JSON) -> Void) throws(TenantError) {
        let envelope = try signed(.events(id))
        let refusal = try Self.reaching { () throws(ClientError) in try gateway.events(of: envelope, each: each) }
        if let refusal { throw .refused(refusal) }
    }

    /// Opens a session, or a group. When the answer is lost on its way, the same token asks for it again: it cannot open
    /// a second session, and if it has opened the first, the answer names it.
    package func inject(_ injection: TenantRequest.Injection) throws(TenantError) -> JSON {
        let envelope = try signed(.inject(injection))
        let answer = try Self.reaching { () throws(ClientError) in try persistentAnswer(to: envelope) }
        do throws(TenantError) {
            return try answer.acceptedBody
        } catch {
            guard error.code == ProblemCode.replayed.rawValue, let opened = SessionScope(memberOf: answer.body) else {
                throw error
            }
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

    private static func reaching<Result>(_ ask: () throws(ClientError) -> Result) throws(TenantError) -> Result {
        do throws(ClientError) {
            return try ask()
        } catch {
            throw .unreached(error)
        }
    }
}

/// Why a tenant's request has no result.
package enum TenantError: Error, Sendable {
    case unsigned(CryptoError)
    case unreached(ClientError)
    /// What the agent says instead of yes.
    case refused(Answer)

    /// The stable code of the API's problem; nil where the agent has said nothing.
    package var code: String? {
        if case .refused(let answer) = self { return answer.body["code"]?.stringValue }
        return nil
    }

    /// Whether it may be otherwise a little later.
    package var mayPass: Bool {
        switch self {
        case .unsigned: false
        case .unreached: true
        case .refused(let answer): answer.status == 429 || answer.status == 503
        }
    }
}

extension TenantError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unsigned(let error): "cannot sign: \(error)"
        case .unreached(let error): "\(error)"
        case .refused(let answer):
            answer.body["detail"]?.stringValue ?? answer.body["title"]?.stringValue
                ?? "the agent answered \(answer.body.text)"
        }
    }
}

extension ClientError {
    /// Whether the agent may have acted on the request all the same.
    package var mayHaveBeenHeard: Bool {
        switch failure {
        case .notConnected, .notReached, .notTheProtocol: false
        case .disconnected, .broken, .closedEarly: true
        }
    }
}

extension Answer {
    fileprivate var acceptedBody: JSON {
        get throws(TenantError) {
            guard (200..<300).contains(status) else { throw .refused(self) }
            return body
        }
    }
}
