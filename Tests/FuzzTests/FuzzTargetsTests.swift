import TestKit
import Testing

@testable import FuzzTargets

/// What `scripts/fuzz` gives more than it keeps to: that each target takes what is nothing, what is short, and what is made up.
@Suite struct FuzzTargetsTests {
    @Test("a target takes any bytes", arguments: FuzzTarget.allCases)
    func takesAnything(_ target: FuzzTarget) {
        target.run([])
        var random = SeededNumbers(seed: 1)
        for _ in 0..<500 {
            target.run(
                (0..<Int.random(in: 1...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
    }
}
