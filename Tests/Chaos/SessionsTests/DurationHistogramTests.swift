import Sessions
import Testing

struct DurationHistogramTests {
    @Test func `counts what was within each bound, and all of it`() {
        var histogram = DurationHistogram()
        for milliseconds in [0, 5, 6, 100, 29_999, 30_000, 30_001, 3_600_000] {
            histogram.observe(.milliseconds(milliseconds))
        }
        let counts = Dictionary(uniqueKeysWithValues: histogram.cumulative.map { ($0.bound, $0.count) })
        #expect(counts[0.005] == 2 && counts[0.01] == 3 && counts[0.1] == 4 && counts[10] == 4 && counts[30] == 6)
        #expect(histogram.count == 8)
        #expect(abs(histogram.seconds - 3690.111) < 1e-6)
    }

    @Test func `takes a clock that seems to run backwards for no time at all`() {
        var histogram = DurationHistogram()
        histogram.observe(.seconds(-1))
        #expect(histogram.cumulative.first?.count == 1 && histogram.seconds == 0)
    }
}
