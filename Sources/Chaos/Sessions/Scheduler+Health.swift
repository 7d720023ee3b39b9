package import Authorization
import ChaosModel
import Journal

extension Scheduler {
    /// Why the node fares worse than the policy lets it; nil when it does not, or no line is drawn.
    package var crossing: String? { crossing(policy.guardrails.abortLine) }

    /// The same of any line, from any thread.
    package nonisolated func crossing(_ line: AbortLine) -> String? { line.crossing(onFileSystemOf: journal.path) }

    /// Takes every session back where the line is crossed.
    package func checkHealth() {
        guard let crossing else { return }
        for session in live.values where !session.isToldToEnd && session.machine.ending == nil {
            session.tell("node-unhealthy", crossing)
            session.post(.end(.nodeUnhealthy))
        }
    }

    func refuseUnhealthy() throws(Problem) {
        guard let crossing else { return }
        throw Problem(
            .nodeUnhealthy, "the node takes no new session while \(crossing)",
            hint: "wait until it fares better; the policy on the node draws the line")
    }
}
