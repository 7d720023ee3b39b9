import DeadMan
import LinuxSystem
import Testing

struct SteppedClockTests {
    private static let before = WallClock.Lead(nanoseconds: 1_763_940_000_000_000_000)

    private static func state(_ offset: Duration, moved: Duration) -> SteppedClock.State {
        SteppedClock(offset: offset, before: before).state(
            at: WallClock.Lead(nanoseconds: before.nanoseconds + moved.wholeNanoseconds))
    }

    @Test(arguments: [Duration.seconds(3600), .seconds(-3600), .seconds(8760 * 3600), .seconds(-8760 * 3600)])
    func `a step is told from a clock that is right again, and from one that somebody has set`(offset: Duration) {
        #expect(Self.state(offset, moved: offset) == .isStepped)
        #expect(Self.state(offset, moved: .zero) == .isBack)
        #expect(Self.state(offset, moved: offset / 2) == .isSet)
        #expect(Self.state(offset, moved: .zero - offset) == .isSet)
        #expect(Self.state(offset, moved: offset * 2) == .isSet)
        let clock = SteppedClock(offset: offset, before: Self.before)
        for (moved, isTwice) in [(Duration.zero - offset, true), (.zero, false), (offset, false), (offset * -2, false)]
        {
            let lead = WallClock.Lead(nanoseconds: Self.before.nanoseconds + moved.wholeNanoseconds)
            #expect(clock.isBackTwice(at: lead) == isTwice)
        }
        // As by a leap second, or a time service that found the clock a little wrong: by a quarter of the offset, or two seconds.
        for seconds in [-1, 1] {
            #expect(Self.state(offset, moved: offset + .seconds(seconds)) == .isStepped)
            #expect(Self.state(offset, moved: .seconds(seconds)) == .isBack)
        }
        #expect(Self.state(offset, moved: offset + .seconds(3)) == .isSet)
        #expect(Self.state(offset, moved: .seconds(-3)) == .isSet)
    }

    @Test(arguments: [Duration.milliseconds(10), .milliseconds(-10), .milliseconds(500)])
    func `a small step is told as well`(offset: Duration) {
        #expect(Self.state(offset, moved: offset) == .isStepped)
        #expect(Self.state(offset, moved: .zero) == .isBack)
        #expect(Self.state(offset, moved: offset / 2) == .isSet)
        #expect(Self.state(offset, moved: offset + .microseconds(500)) == .isStepped)
        #expect(Self.state(offset, moved: offset + .seconds(1)) == .isSet)
    }

    @Test func `how far the wall clock is ahead is told to a fraction of a millisecond`() {
        let leads = (0..<100).map { _ in WallClock.lead.nanoseconds }.sorted()
        #expect(leads[99] - leads[0] < 1_000_000)
    }
}
