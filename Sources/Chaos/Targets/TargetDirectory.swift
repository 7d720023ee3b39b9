package import ChaosModel

/// Finds what a selector names and takes hold of it.
package protocol TargetDirectory: Sendable {
    /// - Throws: `target-not-found`, `target-gone`, `target-refused`, `target-unresolvable`, `runtime-unavailable`.
    func resolve(_ selector: TargetSelector) async throws(Problem) -> ResolvedTarget

    /// Takes hold of the container that was started in the place of another, in the same pod; nil while there is none, and
    /// for what is no container.
    ///
    /// - Throws: `target-gone`, `target-refused`, `target-unresolvable`, `runtime-unavailable`.
    func successor(of facts: TargetFacts) async throws(Problem) -> ResolvedTarget?
}
