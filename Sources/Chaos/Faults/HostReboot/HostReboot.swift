package import ChaosModel
package import Steps

/// Has systemd reboot the host.
package struct HostReboot: Fault {
    package static let kind = "host-reboot"
    package static let summary = "has systemd reboot the host"
    package static let explanation = """
        When `delay` is over, systemd is told to reboot the host in order, as `systemctl reboot` does it: every service is \
        stopped first, this agent too, which takes all other sessions back before it ends. It cannot be taken back, and is \
        refused unless the policy's guardrails say `power: allowed`. A session that is ended before the delay is over has done \
        nothing (`already-restored`); otherwise it ends as `completed` when systemd was told. The agent of the next boot \
        says of it whether the host was rebooted, which it knows by the kernel's boot identifier: `rebooted` in the effect is \
        true from then on. Where the agent was killed within the delay and started again, nothing was done; where the host \
        went down within it, by whatever, the session is told as `recovered` with the same effect. Inhibitors of logind are \
        not asked. An agent in a container has no way to systemd, and refuses.
        """
    package static let reach = Reach.host
    package static let canHitHost = true
    package static let needs: [NodeFeature] = []
    package static let isReversible = false
    package static let takesHostDown = true
    package static let parameters = [ShutdownDelay.parameter]
    package static let examples = [FaultExample("after five seconds", [:])]

    private let delay: ShutdownDelay

    package init(_ values: ParameterValues) throws(Problem) {
        delay = ShutdownDelay(values)
    }

    package func refuseTooShort(_ duration: Duration) throws(Problem) { try delay.refuseTooShort(duration) }

    package var summary: String { "reboot the host after \(delay.value.text)" }

    package func notes(on target: TargetObservation) -> [String] { ["this cannot be taken back"] }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.requireWholeHost()
        return [.shutDown(.reboot, after: delay.value)]
    }
}
