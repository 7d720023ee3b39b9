import ChaosModel
import ExperimentModel
import KubernetesClient

extension Probe.ResourceCheck {
    /// Of each resource that there is, what it has at the path; without a path, how many there are.
    ///
    /// - Throws: When there is none and one should be, or the other way round.
    func values(in context: JSON, cluster: Cluster) throws -> [String] {
        let found = try resources(in: context, of: cluster.client())
        if isPresent, found.isEmpty { throw StepFailure("there are no such \(resource)") }
        if !isPresent {
            guard found.isEmpty else {
                let names = found.compactMap { $0["metadata"]?["name"]?.stringValue }.joined(separator: ", ")
                throw StepFailure("there are \(resource): \(names.cut(to: 200))")
            }
        }
        guard let path else { return ["\(found.count)"] }
        return try found.map { object in
            var value: JSON? = object
            for name in path.split(separator: ".") { value = value?[String(name)] }
            guard let value, value != .null else {
                let name = object["metadata"]?["name"]?.stringValue ?? "one"
                throw StepFailure("\(name) has no \(path)")
            }
            return value.stringValue ?? value.text
        }
    }

    private func resources(in context: JSON, of client: KubernetesClient) throws -> [JSON] {
        func text(_ template: Template?) throws -> String? {
            try template.map { try $0.value(in: context).stringValue ?? "" }
        }
        let group = apiVersion.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var path = group.count == 2 ? try APIPath("/apis", group[0], group[1]) : try APIPath("/api", apiVersion)
        if let namespace = try text(namespace) { path = try path.appending("namespaces").appending(namespace) }
        path = try path.appending(resource)
        if let name = try text(name) {
            do throws(KubernetesError) {
                return [try client.get(path.appending(name))]
            } catch {
                guard error.isNotFound else { throw error }
                // Of a kind that is there, one that is not: a kind that is not there is a mistake.
                _ = try client.get(path, query: [("limit", "1")])
                return []
            }
        }
        return try client.list(path, labels: try text(labels) ?? "", fields: try text(fields) ?? "")
    }
}
