import ChaosModel
import DeadMan
import LinuxSystem

extension SteppedClock {
    /// As a person would say it.
    var summary: String {
        offset < .zero
            ? "set the host's wall clock back by \((Duration.zero - offset).text)"
            : "set the host's wall clock ahead by \(offset.text)"
    }

    var json: JSON {
        ["offsetNanoseconds": .integer(offset.wholeNanoseconds), "leadNanoseconds": .integer(before.nanoseconds)]
    }

    /// Reads what `json` wrote; nil for anything else.
    init?(_ json: JSON) {
        guard let offset = json["offsetNanoseconds"]?.integerValue, let lead = json["leadNanoseconds"]?.integerValue
        else { return nil }
        self.init(offset: .nanoseconds(offset), before: WallClock.Lead(nanoseconds: lead))
    }
}
