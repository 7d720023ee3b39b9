import HTTPClient

/// Where the API has something. Names come from files and variables: each is one part of the path, whatever is in it.
package struct APIPath: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    /// - Parameters:
    ///   - group: As `/api/v1` or `/apis/apps/v1`.
    ///   - parts: Resources and names, of which none is empty.
    package init(_ group: String, _ parts: String...) throws(KubernetesError) {
        description = try Self.joined(group, parts)
    }

    package func appending(_ part: String) throws(KubernetesError) -> APIPath {
        APIPath(text: try Self.joined(description, [part]))
    }

    private init(text: String) { description = text }

    private static func joined(_ start: String, _ parts: [String]) throws(KubernetesError) -> String {
        var path = start
        for part in parts {
            guard !part.isEmpty, part != ".", part != "..", part.utf8.count <= 253 else {
                throw KubernetesError(status: nil, "\(part.debugDescription) is no name of anything in a cluster")
            }
            path += "/\(HTTPURL.escaped(part))"
        }
        return path
    }
}
