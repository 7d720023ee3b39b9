package import ChaosModel

/// Finds what a selector names and takes hold of it.
package protocol TargetDirectory: Sendable {
    /// - Throws: `target-not-found`, `target-gone`, `target-refused`, `target-unresolvable`, `runtime-unavailable`.
    func resolve(_ selector: TargetSelector) async throws(Problem) -> ResolvedTarget
}
