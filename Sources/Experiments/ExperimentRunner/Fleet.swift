package import AgentClient
import ChaosModel

/// The agents that an experiment may speak to.
package struct Fleet: Sendable {
    package struct Agent: Sendable {
        /// As its node calls itself.
        package let name: String
        package let labels: [(name: String, value: String)]
        package let client: TenantClient

        package init(name: String, labels: [(name: String, value: String)] = [], client: TenantClient) {
            self.name = name
            self.labels = labels
            self.client = client
        }
    }

    package let agents: [Agent]

    package init(_ agents: [Agent]) { self.agents = agents }

    /// - Parameter choice: Nil for all; otherwise names, in which `*` stands for any part, or labels that they must have.
    func agents(_ choice: JSON?) throws(StepFailure) -> [Agent] {
        guard let choice else { return agents }
        let chosen: [Agent]
        if let labels = choice["labels"]?.members, choice.members?.count == 1 {
            chosen = agents.filter { agent in
                labels.allSatisfy { label in
                    agent.labels.contains { $0.name == label.name && .string($0.value) == label.value }
                }
            }
        } else {
            let patterns = (choice.arrayValue ?? [choice]).compactMap(\.stringValue)
            guard !patterns.isEmpty, patterns.count == choice.arrayValue?.count ?? 1 else {
                throw StepFailure(
                    "agents are named by their names, as [node-a, \"db-*\"], or by {labels: {NAME: VALUE}}")
            }
            chosen = agents.filter { agent in patterns.contains { Self.matches(agent.name, $0) } }
        }
        if chosen.isEmpty {
            throw StepFailure(
                "no agent is meant by \(choice.text.cut(to: 100)): there are \(agents.map(\.name).joined(separator: ", "))"
            )
        }
        return chosen
    }

    private static func matches(_ name: String, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return name == pattern }
        guard name.hasPrefix(parts[0]) else { return false }
        var rest = name.dropFirst(parts[0].count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return rest.hasSuffix(parts[parts.count - 1])
    }
}

/// Why a step could not be done: for people, lower case, no full stop.
package struct StepFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
