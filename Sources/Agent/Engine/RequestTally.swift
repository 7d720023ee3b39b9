import ChaosModel
import Synchronization

/// How often requests were refused.
final class RequestTally: Sendable {
    private let counts = Mutex<[ProblemCode: Int]>([:])

    func countRefusal(_ code: ProblemCode) {
        counts.withLock { $0[code, default: 0] += 1 }
    }

    /// By every code that there is.
    var refusals: [(ProblemCode, Int)] {
        let counts = counts.withLock { $0 }
        return ProblemCode.allCases.map { ($0, counts[$0] ?? 0) }
    }
}
