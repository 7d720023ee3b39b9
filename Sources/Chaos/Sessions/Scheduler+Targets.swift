package import ChaosModel
import Journal
package import Targets

extension Scheduler {
    /// A target as it is now, and what this agent does to it.
    package struct TargetReport: Sendable {
        package let facts: TargetFacts
        package let cpuCount: Int
        package let isOnHostNetwork: Bool
        package let limits: TargetLimits
        /// The live sessions whose own target shares something with it, the newest first.
        package let sessions: [SharingSession]
    }

    /// A session, and by what it may touch a target that need not be its own.
    package struct SharingSession: Sendable {
        package let report: SessionReport
        package let hasSameCgroup: Bool
        /// Never said of the node's own network namespace, in which each session acts on one cgroup.
        package let hasSameNetwork: Bool
    }

    /// Takes hold of what a selector names, looks at it, and lets go.
    ///
    /// - Throws: What `TargetDirectory.resolve` does.
    package func target(_ selector: TargetSelector) async throws(Problem) -> TargetReport {
        let target = try await directory.resolve(selector)
        let network = target.isOnHostNetwork ? nil : target.facts.network
        let sessions = live.values.map { session in
            SharingSession(
                report: session.report, hasSameCgroup: session.record.target.cgroup == target.facts.cgroup,
                hasSameNetwork: network != nil && session.record.target.network == network)
        }
        return TargetReport(
            facts: target.facts, cpuCount: target.cpuCount, isOnHostNetwork: target.isOnHostNetwork,
            limits: try target.limits(),
            sessions: sessions.filter { $0.hasSameCgroup || $0.hasSameNetwork }
                .sorted { ($0.report.openedAt, $0.report.id.text) > ($1.report.openedAt, $1.report.id.text) })
    }
}
