import AgentAPI
import ChaosModel
import NIOHTTP1

/// A whole HTTP response, without what depends on the connection.
struct Response {
    let status: Int
    private(set) var headers: HTTPHeaders = [:]
    let body: [UInt8]

    init(status: Int, body: [UInt8], isProblem: Bool = false) {
        self.status = status
        self.body = body
        headers.add(name: "Content-Type", value: isProblem ? "application/problem+json" : "application/json")
        headers.add(name: "Content-Length", value: String(body.count))
        headers.add(name: "Cache-Control", value: "no-store")
        switch status {
        case 401: headers.add(name: "WWW-Authenticate", value: #"Bearer realm="squall", error="invalid_token""#)
        case 429, 503: headers.add(name: "Retry-After", value: "1")
        default: break
        }
    }

    init(_ refusal: Refusal) {
        self.init(refusal.problem)
        if refusal.problem.code == .tokenMissing {
            // RFC 6750, section 3.1: no error code for a request without authentication.
            headers.replaceOrAdd(name: "WWW-Authenticate", value: #"Bearer realm="squall""#)
        }
        if !refusal.allowedMethods.isEmpty {
            headers.add(name: "Allow", value: refusal.allowedMethods.joined(separator: ", "))
        }
    }

    /// - Parameter status: Where HTTP has a closer word than the code's own status.
    init(_ problem: Problem, status: Int? = nil) {
        let status = status ?? problem.code.status
        let members = (problem.json.members ?? []).map {
            $0.name == "status" ? JSON.Member("status", .integer(Int64(status))) : $0
        }
        self.init(status: status, body: JSON.object(members).bytes, isProblem: true)
    }

    /// Nil if the payload is no answer that HTTP can carry.
    ///
    /// - Parameter refusals: What is told beside the engine's metrics.
    init?(answer payload: [UInt8], with refusals: GatewayRefusals) {
        guard payload.count >= 2 else { return nil }
        let status = Int(payload[0]) << 8 | Int(payload[1])
        switch status {
        case 200 where payload[2...].first == 0x22:
            // A string: only a text is told so.
            guard let text = Answer(payload: payload)?.body.stringValue else { return nil }
            self.init(status: status, body: refusals.added(to: text))
            headers.replaceOrAdd(name: "Content-Type", value: Self.openMetrics)
        case 200, 202...299:
            // Not parsed: the engine's JSON goes out as it came.
            self.init(status: status, body: Array(payload[2...]))
        case 201:
            guard let answer = Answer(payload: payload),
                let scope = answer.body["id"]?.stringValue.flatMap({ SessionScope($0) })
            else { return nil }
            self.init(status: status, body: Array(payload[2...]))
            headers.add(name: "Location", value: "/v1/\(scope.kind)s/\(scope.text)")
        case 400...599:
            guard let answer = Answer(payload: payload) else { return nil }
            self.init(status: status, body: Array(payload[2...]), isProblem: answer.body["code"] != nil)
        default:
            return nil
        }
    }

    private static let openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    static let overloaded = Response(
        Problem(.engineUnavailable, "the gateway has as many connections as it serves"))

    static let greedy = Response(
        Problem(.rateExceeded, "this client has as many connections as one may have", hint: "use one for many requests")
    )

    /// The bytes of a response that ends its connection, for a connection without a codec.
    var closingBytes: [UInt8] {
        var text = "HTTP/1.1 \(status) \(HTTPResponseStatus(statusCode: status).reasonPhrase)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        return Array((text + "Connection: close\r\n\r\n").utf8) + body
    }
}
