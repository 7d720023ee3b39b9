import AgentAPI
import ChaosModel
import NIOHTTP1

/// What is to be done about a request.
enum Decision: Hashable {
    /// Send one frame to the engine; what comes back is the response. A probe's is worth nothing when it comes late.
    case ask(Frame, isProbe: Bool)
    /// The same, and what comes back are the items of a stream.
    case follow(Frame, StreamFormat)
}

/// How the items of a stream are written.
enum StreamFormat: Hashable {
    /// A line each, `application/x-ndjson`.
    case lines
    /// An event each, `text/event-stream`.
    case serverSentEvents

    init(accepted: HTTPHeaders) {
        let wantsEvents = accepted[canonicalForm: "accept"].contains { $0.lowercased().hasPrefix("text/event-stream") }
        self = wantsEvents ? .serverSentEvents : .lines
    }

    var contentType: String {
        switch self {
        case .lines: "application/x-ndjson"
        case .serverSentEvents: "text/event-stream"
        }
    }
}

/// A request that cannot be sent to the engine: the problem, and the methods that the resource does take.
struct Refusal: Error, Hashable {
    let problem: Problem
    var allowedMethods: [String] = []
}

/// Reads HTTP requests. Everything that a request means is in its method, its path and its token.
struct RequestReader {
    let resources: [Resource]
    let tokenBytes: Int

    /// - Parameter identities: Who asks, by their certificate; nil where none is asked for.
    func decision(
        on head: HTTPRequestHead, bodyBytes: Int, of identities: [PeerIdentity]?
    ) throws(Refusal) -> Decision {
        let (resource, endpoint, identifier) = try endpoint(of: head)
        guard bodyBytes == 0 else { throw Self.bodyRefusal }
        switch endpoint {
        case .open(let query):
            return .ask(Frame(.query, query.rawValue.utf8), isProbe: query == .liveness)
        case .signed(let route):
            let scope = resource.scope(named: identifier)
            guard route.takes(scope) else { throw Refusal(problem: Self.noSuchSession) }
            let request = EnvelopeRequest(
                route: route, scope: scope, token: try token(in: head.headers), identities: identities)
            let frame = Frame(.envelope, request.payload)
            return route == .events ? .follow(frame, StreamFormat(accepted: head.headers)) : .ask(frame, isProbe: false)
        }
    }

    static let bodyRefusal = Refusal(
        problem: Problem(
            .requestMalformed, "the request has a body", field: "body",
            hint: "send no body, not even {}: the token in the Authorization header carries the whole request"))

    private static let noSuchSession = Problem(
        .sessionNotFound, "no session has such a name, and no group",
        hint: "a session is named s- and 16 hexadecimal digits, a group g- and as many")

    private func endpoint(of head: HTTPRequestHead) throws(Refusal) -> (Resource, Endpoint, identifier: String) {
        guard !head.uri.contains("?") else {
            throw Refusal(
                problem: Problem(
                    .requestMalformed, "the request has a query", field: "query",
                    hint: "the token in the Authorization header carries the whole request"))
        }
        for resource in resources {
            guard let identifier = resource.identifier(in: head.uri) else { continue }
            if let match = resource.endpoints.first(where: { $0.method == head.method.rawValue }) {
                return (resource, match.endpoint, identifier)
            }
            let methods = resource.endpoints.map(\.method)
            throw Refusal(
                problem: Problem(
                    .methodNotAllowed, "\(resource.rawValue) takes \(methods.joined(separator: ", ")) only"),
                allowedMethods: methods)
        }
        throw Refusal(
            problem: Problem(
                .notFound, "there is nothing at this path",
                hint: "there is \(resources.map(\.rawValue).joined(separator: ", "))"))
    }

    private func token(in headers: HTTPHeaders) throws(Refusal) -> String {
        let values = headers["authorization"]
        guard let value = values.first else {
            throw Refusal(
                problem: Problem(
                    .tokenMissing, "the request carries no token", hint: "send Authorization: Bearer TOKEN"))
        }
        guard values.count == 1 else {
            throw Refusal(problem: Problem(.requestMalformed, "the request has more than one Authorization header"))
        }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw Refusal(
                problem: Problem(
                    .tokenMissing, "the Authorization header holds no bearer token",
                    hint: "send Authorization: Bearer TOKEN"))
        }
        let token = parts[1]
        guard token.utf8.count <= tokenBytes else {
            throw Refusal(problem: Problem(.tokenMalformed, "the token is longer than \(tokenBytes) bytes"))
        }
        guard token.utf8.allSatisfy(Self.isTokenByte) else {
            throw Refusal(
                problem: Problem(.tokenMalformed, "the token is not a JSON Web Signature in compact form"))
        }
        return String(token)
    }

    /// The letters of base64url, and the dot between the parts.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
