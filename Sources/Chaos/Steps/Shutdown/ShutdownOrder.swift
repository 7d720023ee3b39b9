package import ChaosModel
import LinuxSystem

/// A host that systemd is to take down after a while, as a fault plans it. It cannot be taken back.
package struct ShutdownOrder: Hashable, Sendable {
    package let how: HostShutdown
    /// How long the host still stays, and the order is taken back with its session.
    package let delay: Duration

    package init(_ how: HostShutdown, after delay: Duration) {
        self.how = how
        self.delay = delay
    }

    /// As a person would say it.
    var summary: String { "have systemd \(how.words) after \(delay.text)" }

    var json: JSON { ["how": .string(how.rawValue), "delay": .string(delay.text)] }

    /// Reads what `json` wrote; nil for anything else.
    init?(_ json: JSON) {
        guard let how = json["how"]?.stringValue.flatMap(HostShutdown.init),
            let delay = json["delay"]?.stringValue.flatMap({ Duration(text: $0) })
        else { return nil }
        self.init(how, after: delay)
    }
}

extension HostShutdown {
    /// What systemd reaches by it.
    var target: String {
        switch self {
        case .reboot: "reboot.target"
        case .powerOff: "poweroff.target"
        }
    }
}
