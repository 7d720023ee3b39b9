import ChaosModel
import Testing

struct BoundedTextTests {
    @Test(
        arguments: [
            ("abc", 3, "abc"), ("abcd", 3, "abc…"), ("äöü", 6, "äöü"), ("äöü", 5, "äö…"), ("äöü", 1, "…"), ("", 0, ""),
            ("x👩‍👩‍👧", 5, "x…"),
        ])
    func `a long text is cut between its characters`(text: String, bytes: Int, expected: String) {
        #expect(text.cut(to: bytes) == expected)
    }

    @Test func `what somebody else was found to have done is told in a few lines`() {
        let long = String(repeating: "x", count: 5000)
        guard case .drifted(let found) = UndoOutcome.drifted(found: long).bounded else {
            Issue.record("another outcome")
            return
        }
        #expect(found.utf8.count < 1100)
        #expect(UndoOutcome.failed("busy").bounded == .failed("busy"))
        #expect(UndoOutcome.restored.bounded == .restored)
    }
}
