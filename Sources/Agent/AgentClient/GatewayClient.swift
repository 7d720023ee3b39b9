package import AgentAPI
package import ChaosModel
import HTTPClient

/// Speaks HTTP/1.1 to the gateway, one request a connection.
package struct GatewayClient: Sendable {
    private static let longestBody = 16 << 20
    private static let longestItem = 1 << 20

    private let endpoint: AgentEndpoint
    private let timeout: Duration

    package init(_ endpoint: AgentEndpoint, timeout: Duration = .seconds(10)) {
        self.endpoint = endpoint
        self.timeout = timeout
    }

    package init(socket: String, timeout: Duration = .seconds(10)) {
        self.init(.socket(socket), timeout: timeout)
    }

    func within(_ timeout: Duration) -> GatewayClient { GatewayClient(endpoint, timeout: min(timeout, self.timeout)) }

    package func answer(to request: EnvelopeRequest) throws(ClientError) -> Answer {
        try answer(to: Self.message(request))
    }

    package func answer(to query: PublicQuery) throws(ClientError) -> Answer {
        let path =
            switch query {
            case .faults: "/v1/faults"
            case .node: "/v1/node"
            case .name: "/v1/node/name"
            case .liveness: "/livez"
            case .readiness: "/readyz"
            case .metrics: "/metrics"
            }
        return try answer(to: Self.message("GET", path, token: nil))
    }

    /// Hands over the events of a session as they come, however long that takes.
    ///
    /// - Returns: Nil at the end of the stream; the answer when there was none.
    package func events(of request: EnvelopeRequest, each: (JSON) -> Void) throws(ClientError) -> Answer? {
        var line: [UInt8] = []
        var refusal: [UInt8] = []
        let status = try exchange(Self.message(request), timeout: nil) { (status, bytes) throws(ClientError) in
            guard status == 200 else {
                refusal += bytes
                guard refusal.count <= Self.longestItem else { throw notTheProtocol("a refusal without end") }
                return
            }
            for byte in bytes {
                if byte != 0x0A {
                    line.append(byte)
                } else if !line.isEmpty {
                    each(try json(line))
                    line = []
                }
            }
            guard line.count <= Self.longestItem else { throw notTheProtocol("an event without end") }
        }
        return status == 200 ? nil : Answer(status: status, body: try json(refusal))
    }

    private func answer(to message: String) throws(ClientError) -> Answer {
        var body: [UInt8] = []
        let status = try exchange(message, timeout: timeout) { (_, bytes) throws(ClientError) in
            body += bytes
            guard body.count <= Self.longestBody else { throw notTheProtocol("a body without end") }
        }
        return Answer(status: status, body: try json(body))
    }

    /// Sends a request and hands over what comes of the body.
    ///
    /// - Returns: The status, when the whole response is there.
    private func exchange(
        _ message: String, timeout: Duration?, body: (_ status: Int, [UInt8]) throws(ClientError) -> Void
    ) throws(ClientError) -> Int {
        let connection = try AgentConnection(to: endpoint, timeout: timeout)
        try connection.send(Array(message.utf8))
        var reader = HTTPResponseReader()
        while true {
            let bytes = try connection.receive()
            do throws(HTTPError) {
                if bytes.isEmpty { reader.finish() } else { try reader.append(bytes) }
            } catch {
                throw notTheProtocol(error.reason)
            }
            let arrived = reader.takeBody()
            if let status = reader.status {
                if !arrived.isEmpty { try body(status, arrived) }
                if reader.isComplete { return status }
            }
            guard !bytes.isEmpty else { throw ClientError(socket: "\(endpoint)", .closedEarly) }
        }
    }

    private func json(_ bytes: [UInt8]) throws(ClientError) -> JSON {
        do throws(JSONError) {
            return try JSON(parsing: bytes)
        } catch {
            throw notTheProtocol("\(error)")
        }
    }

    private func notTheProtocol(_ reason: String) -> ClientError {
        ClientError(socket: "\(endpoint)", .notTheProtocol(reason))
    }

    /// A session's identifier has no character that a path must escape, nor has a token one that ends a line.
    private static func message(_ request: EnvelopeRequest) -> String {
        let scope = request.scope.map { "/v1/\($0.kind)s/\($0.text)" } ?? ""
        return switch request.route {
        case .inject: message("POST", "/v1/sessions", token: request.token)
        case .plan: message("POST", "/v1/plans", token: request.token)
        case .list: message("GET", "/v1/sessions", token: request.token)
        case .read: message("GET", scope, token: request.token)
        case .events: message("GET", "\(scope)/events", token: request.token)
        case .renew: message("POST", "\(scope)/lease", token: request.token)
        case .end: message("DELETE", scope, token: request.token)
        }
    }

    private static func message(_ method: String, _ path: String, token: String?) -> String {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        if let token { text += "Authorization: Bearer \(token)\r\n" }
        if method == "POST" { text += "Content-Length: 0\r\n" }
        return text + "\r\n"
    }
}
