package import ChaosModel
package import Steps

/// Has systemd switch the host off.
package struct HostPowerOff: Fault {
    package static let kind = "host-power-off"
    package static let summary = "has systemd switch the host off"
    package static let explanation = """
        When `delay` is over, systemd is told to switch the host off in order, as `systemctl poweroff` does it: every service \
        is stopped first, this agent too, which takes all other sessions back before it ends. It cannot be taken back, and \
        nothing here switches the host on again: have a way to do that before. It is refused unless the policy's guardrails say \
        `power: allowed`. A session that is ended before the delay is over has done nothing (`already-restored`); otherwise it \
        ends as `completed` when systemd was told. The agent of the next boot says of it whether the host was off, which it \
        knows by the kernel's boot identifier: `poweredOff` in the effect is true from then on. For the rest it is as \
        `host-reboot`.
        """
    package static let reach = Reach.host
    package static let canHitHost = true
    package static let needs: [NodeFeature] = []
    package static let isReversible = false
    package static let takesHostDown = true
    package static let parameters = [ShutdownDelay.parameter]
    package static let examples = [FaultExample("after a minute", ["delay": "1m"])]

    private let delay: ShutdownDelay

    package init(_ values: ParameterValues) throws(Problem) {
        delay = ShutdownDelay(values)
    }

    package func refuseTooShort(_ duration: Duration) throws(Problem) { try delay.refuseTooShort(duration) }

    package var summary: String { "switch the host off after \(delay.value.text)" }

    package func notes(on target: TargetObservation) -> [String] {
        ["this cannot be taken back, and nothing here switches the host on again"]
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.requireWholeHost()
        return [.shutDown(.powerOff, after: delay.value)]
    }
}
