package import ChaosModel
import Glibc
import HTTPClient
import LinuxSystem
import Synchronization

/// The Kubernetes API as JSON over HTTP, for whoever runs experiments. No watches: what is waited for is asked for again.
package struct KubernetesClient: Sendable {
    /// Of one request. A server that starts anew takes longer; those that may be repeated are.
    private static let timeout = Duration.seconds(15)
    private static let attempts = 3
    /// A server that has answered before, and starts anew.
    private static let patience = Duration.seconds(60)
    private static let pause = Duration.seconds(1)
    private static let pageLength = 250
    private static let mostPages = 400

    private let access: KubernetesAccess
    private let known = Acquaintance()

    /// The namespace that the credentials are for; `default` where nothing says.
    package var namespace: String { access.namespace }

    package init(_ access: KubernetesAccess) { self.access = access }

    package func get(_ path: APIPath, query: [(String, String)] = []) throws(KubernetesError) -> JSON {
        try persistently { () throws(KubernetesError) in try answer("GET", path, query) }
    }

    /// All items of a list, page by page.
    ///
    /// - Parameters:
    ///   - labels: A label selector as Kubernetes writes it; empty for all.
    ///   - fields: A field selector, the same.
    package func list(_ path: APIPath, labels: String = "", fields: String = "") throws(KubernetesError) -> [JSON] {
        var items: [JSON] = []
        var next = ""
        for _ in 0..<Self.mostPages {
            var query = [("limit", "\(Self.pageLength)")]
            if !labels.isEmpty { query.append(("labelSelector", labels)) }
            if !fields.isEmpty { query.append(("fieldSelector", fields)) }
            if !next.isEmpty { query.append(("continue", next)) }
            let page = try get(path, query: query)
            items += page["items"]?.arrayValue ?? []
            next = page["metadata"]?["continue"]?.stringValue ?? ""
            if next.isEmpty { return items }
        }
        throw KubernetesError(status: nil, "GET \(path): there are more than \(items.count)")
    }

    package func create(_ object: JSON, at path: APIPath) throws(KubernetesError) -> JSON {
        try answer("POST", path, body: object)
    }

    /// Puts members into what is there; a member that is null is removed (RFC 7386).
    package func merge(_ patch: JSON, into path: APIPath) throws(KubernetesError) -> JSON {
        try persistently { () throws(KubernetesError) in
            try answer("PATCH", path, body: patch, type: "application/merge-patch+json")
        }
    }

    /// - Parameter gracePeriod: Seconds; nil for the object's own.
    package func delete(_ path: APIPath, gracePeriod: Int64? = nil, uid: String? = nil) throws(KubernetesError) {
        var options: [(String, JSON?)] = [("kind", "DeleteOptions"), ("apiVersion", "v1")]
        options.append(("gracePeriodSeconds", gracePeriod.map(JSON.integer)))
        options.append(("preconditions", uid.map { ["uid": .string($0)] }))
        let body = JSON.object(options)
        _ = try persistently { () throws(KubernetesError) in try answer("DELETE", path, body: body) }
    }

    private func persistently(_ ask: () throws(KubernetesError) -> JSON) throws(KubernetesError) -> JSON {
        var attemptsLeft = Self.attempts
        let givesUpAt = BootInstant.now + Self.patience
        while true {
            do throws(KubernetesError) {
                return try ask()
            } catch {
                attemptsLeft -= 1
                let isWorthIt = attemptsLeft > 0 || known.hasAnswered && BootInstant.now < givesUpAt
                guard error.mayPass, isWorthIt else { throw error }
                usleep(UInt32(Self.pause / .microseconds(1)))
            }
        }
    }

    /// What the only container of a pod has written.
    package func log(of pod: APIPath, atMost length: Int) throws(KubernetesError) -> String {
        var text = ""
        _ = try persistently { () throws(KubernetesError) in
            let response = try response("GET", pod.appending("log"), [("limitBytes", "\(length)")])
            try Self.check(response, "GET \(pod)/log")
            text = String(decoding: response.body, as: UTF8.self)
            return .null
        }
        return text
    }

    private func answer(
        _ method: String, _ path: APIPath, _ query: [(String, String)] = [], body: JSON? = nil,
        type: String = "application/json"
    ) throws(KubernetesError) -> JSON {
        let response = try response(method, path, query, body: body, type: type)
        try Self.check(response, "\(method) \(path)")
        do throws(JSONError) {
            return try JSON(parsing: response.body)
        } catch {
            throw KubernetesError(status: response.status, "\(method) \(path): the answer is no JSON")
        }
    }

    private static func check(_ response: HTTPRequest.Response, _ what: String) throws(KubernetesError) {
        guard !(200..<300).contains(response.status) else { return }
        let document = try? JSON(parsing: response.body)
        let message = document?["message"]?.stringValue ?? "status \(response.status)"
        throw KubernetesError(status: response.status, "\(what): \(message)")
    }

    private func response(
        _ method: String, _ path: APIPath, _ query: [(String, String)] = [], body: JSON? = nil,
        type: String = "application/json"
    ) throws(KubernetesError) -> HTTPRequest.Response {
        let question = query.map { "\($0)=\(HTTPURL.escaped($1))" }.joined(separator: "&")
        guard let url = HTTPURL(access.server + path.description + (question.isEmpty ? "" : "?\(question)")) else {
            throw KubernetesError(status: nil, "\(access.server)\(path) is no address")
        }
        do throws(HTTPError) {
            var headers = [(name: "Accept", value: "application/json")]
            if body != nil { headers.append((name: "Content-Type", value: type)) }
            if let token = try access.token() { headers.append((name: "Authorization", value: "Bearer \(token)")) }
            let response = try HTTPRequest(
                url, method: method, headers: headers, body: body?.bytes ?? [], trust: access.trust
            ).response(until: .now + Self.timeout)
            known.hasAnswered = true
            return response
        } catch {
            throw KubernetesError(status: nil, "\(method) \(path): \(error)")
        }
    }
}

/// Whether a server has ever answered.
private final class Acquaintance: Sendable {
    private let state = Atomic(false)

    var hasAnswered: Bool {
        get { state.load(ordering: .relaxed) }
        set { state.store(newValue, ordering: .relaxed) }
    }
}

/// Why the Kubernetes API did not do something: for people, lower case, no full stop.
package struct KubernetesError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nil where there was no answer.
    package let status: Int?
    package let description: String

    package init(status: Int?, _ description: String) {
        self.status = status
        self.description = description
    }

    package var isNotFound: Bool { status == 404 }
    package var isForbidden: Bool { status == 401 || status == 403 }

    /// Whether it may be otherwise a little later.
    package var mayPass: Bool { status.map { $0 == 429 || $0 >= 500 } ?? true }
}
