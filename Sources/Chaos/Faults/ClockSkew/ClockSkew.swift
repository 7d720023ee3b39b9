package import ChaosModel
package import Steps

/// Sets the host's wall clock ahead or back, for as long as the session lasts.
package struct ClockSkew: Fault {
    package static let kind = "clock-skew"
    package static let summary = "sets the host's wall clock ahead or back"
    package static let explanation = """
        The wall clock (`CLOCK_REALTIME`) is stepped once, by `clock_adjtime(2)`, and stepped back by as much when the \
        session is over, however it ends; time goes on between at its own pace. What it was is told by the clock that nobody \
        can set (`CLOCK_BOOTTIME`): only where the wall clock is still ahead of that by as much as the session has made it is \
        it stepped back. Where it is as far ahead as before, a time service or a person has put it right \
        (`already-restored`); where it is neither, somebody has set it otherwise, and it is left alone (`drifted`). A time \
        service that runs (chronyd, systemd-timesyncd, ntpd) may put the clock right in the midst of the session, which the \
        effect tells, or slew it, which nobody sees, and slew it back after the session; stop it with `service-stop` where the skew is to last. Deadlines and leases of sessions do not go by \
        this clock, and the agent's journal, audit log and reports keep the right time. Tokens are checked by the right time \
        as ever; a token about a session (to read it, to renew it, to end it) also by the clock as it is now, so that a signer \
        on this host can end what it has begun. Certificates of TLS are checked by the clock as it is now: where they are not \
        valid by that, nobody comes in over TLS before the session is over. Timers of calendars (`OnCalendar=`, cron), \
        certificates, caches and whatever else on the host goes by the clock does what it does, and what it has done stays \
        done. The kernel then takes its clock for one that nobody keeps, until a time service says otherwise. One session \
        at a time may have the clock. After a reboot the clock is that of the machine's hardware, and nothing is left to be \
        taken back. An agent without `CAP_SYS_TIME`, as one in a container, cannot do it.
        """
    package static let reach = Reach.host
    package static let canHitHost = true
    package static let needs: [NodeFeature] = []
    package static let parameters = [
        Parameter(
            "offset", .offset(.milliseconds(10)...(.seconds(8760 * 3600))), isRequired: true,
            meaning: "how far ahead the clock is set, or back")
    ]
    package static let examples = [
        FaultExample("an hour ago", ["offset": "-1h"]),
        FaultExample("half a second ahead, as of a clock that nobody keeps", ["offset": "500ms"]),
    ]

    private let offset: Duration

    package init(_ values: ParameterValues) throws(Problem) {
        offset = values.duration("offset")
    }

    package var summary: String {
        offset < .zero
            ? "set the clock back by \((Duration.zero - offset).text)" : "set the clock ahead by \(offset.text)"
    }

    package func notes(on target: TargetObservation) -> [String] {
        [
            "a time service that runs on the host may put the clock right before the session is over",
            "over TLS, certificates are checked by the clock as it is then: see that the session can be ended without",
            "logins that go by the time (SSH's certificates, Kerberos, one-time passwords) may be refused meanwhile",
        ]
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.requireWholeHost()
        return [.skewClock(by: offset)]
    }
}
