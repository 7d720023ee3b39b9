import LinuxSystem

/// Trouble that an operator should know of, on standard error: one line in a second at most, so that whoever can
/// cause trouble cannot fill the node's logs with it.
final class TroubleLog {
    private var quietUntil = BootInstant(nanoseconds: 0)
    private var suppressed = 0

    func report(_ trouble: String) {
        guard BootInstant.now >= quietUntil else {
            suppressed += 1
            return
        }
        AgentLog.write(suppressed == 0 ? trouble : "\(trouble) (and \(suppressed) more before it)", .warning)
        quietUntil = BootInstant.now + .seconds(1)
        suppressed = 0
    }
}
