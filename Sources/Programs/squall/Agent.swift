import AgentAPI
import AgentClient
import ChaosModel
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
        switch self {
        case .engine(let client):
            let refusal = try reaching { () throws(ClientError) in try client.items(of: .events(id), each: each) }
            if let refusal { throw Failure(refusal) }
        case .gateway(let tenancy): try tenancy.events(of: id, each: each)
        }
    }
}

/// A tenant's key, and the gateway that it is used at. What goes wrong is a failure of the command.
struct Tenancy: Sendable {
    let client: TenantClient
    /// The node that its tokens are for.
    let node: String

    init(gateway: GatewayClient, signer: TokenSigner) {
        node = signer.node
        client = TenantClient(gateway: gateway, signer: signer)
    }

    func signed(_ request: TenantRequest) throws(Failure) -> EnvelopeRequest {
        try asTenant { () throws(TenantError) in try client.signed(request) }
    }

    func body(of request: TenantRequest) throws(Failure) -> JSON {
        try asTenant { () throws(TenantError) in try client.body(of: request) }
    }

    func renew(_ scope: SessionScope) throws(Failure) {
        try asTenant { () throws(TenantError) in try client.renew(scope) }
    }

    func inject(_ injection: TenantRequest.Injection) throws(Failure) -> JSON {
        try asTenant { () throws(TenantError) in try client.inject(injection) }
    }

    func events(of id: SessionID, each: (JSON) -> Void) throws(Failure) {
        try asTenant { () throws(TenantError) in try client.events(of: id, each: each) }
    }

    private func asTenant<Result>(_ ask: () throws(TenantError) -> Result) throws(Failure) -> Result {
        do throws(TenantError) {
            return try ask()
        } catch {
            throw Failure(error)
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
