package import ChaosModel
package import LinuxSystem

/// Finds what a selector names and takes hold of it.
package protocol TargetDirectory: Sendable {
    /// - Throws: `target-not-found`, `target-gone`, `target-ambiguous`, `target-refused`, `target-unresolvable`, `runtime-unavailable`.
    func resolve(_ selector: TargetSelector) async throws(Problem) -> ResolvedTarget

    /// Takes hold of those that are chosen of the pods that match.
    ///
    /// - Throws: What `resolve` of one does, for any of them.
    func resolve(_ group: PodGroup, before deadline: BootInstant) async throws(Problem) -> ChosenTargets

    /// Takes hold of the container that was started in the place of another, in the same pod.
    ///
    /// - Throws: `target-gone`, `target-refused`, `target-unresolvable`, `runtime-unavailable`.
    func successor(of facts: TargetFacts) async throws(Problem) -> Successor<ResolvedTarget>

    /// The cgroups of processes that are in the target's network namespace and no part of the target; none where the whole
    /// of it is one owner's, as a pod's, or the node's own.
    ///
    /// - Throws: `target-unresolvable`.
    func strangers(inNetworkOf target: ResolvedTarget) async throws(Problem) -> [String]

    /// How many containers run on this node.
    ///
    /// - Throws: `runtime-unavailable`.
    func containerCount() async throws(Problem) -> Int
}

/// Of several that match, those that are chosen.
package struct ChosenTargets: Sendable {
    package let targets: [ResolvedTarget]
    /// How many match.
    package let matched: Int
    package let seed: Int64

    package init(_ targets: [ResolvedTarget], of matched: Int, seed: Int64) {
        self.targets = targets
        self.matched = matched
        self.seed = seed
    }
}

/// What there is in the place of a target that has ended.
package enum Successor<Target: Sendable>: Sendable {
    case found(Target)
    case notYet
    /// Its pod is gone, or it is no container.
    case never
}
