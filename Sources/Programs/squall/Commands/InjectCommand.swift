import AgentClient
import ArgumentParser
import ChaosModel

struct InjectCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "inject",
        abstract: "Opens a session: applies a fault to a target, for a time. Or several sessions, as a group.",
        discussion: """
            The session reverts by itself at the end of its duration, also when nobody watches. With --wait this \
            program stays until then, shows what happens, keeps the session's lease renewed, and reverts the session \
            when it is interrupted.

            Examples:
              squall inject network-latency latency=100ms jitter=20ms \\
                --container $ID --key shop.key.jwk --wait
              squall inject cpu-stress load=50 workers=1 --duration 2m \\
                --unit nginx.service --key shop.key.jwk --reason "does it scale out?"
              squall inject network-loss percent=5 --namespace shop --selector app=web \\
                --percent 50 --key shop.key.jwk --dry-run
            """)

    /// With --wait, when no lease is asked for: how long the session outlives a killed waiter.
    private static let standardLease = Duration.seconds(15)

    @OptionGroup var injection: InjectionOptions

    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false

    @Flag(
        help: """
            Stay until the session has ended, and revert it on SIGINT or SIGTERM. The lease is then 15s unless given.
            """)
    var wait = false

    @OptionGroup(title: "Signing and connection") var tenant: TenantOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let standardLease = wait && injection.duration.value > Self.standardLease ? Self.standardLease : nil
        let request = try injection.injection(standardLease: standardLease)
        let tenancy = try tenant.tenancy
        if dryRun { return try plan(request, tenancy, output) }
        return wait ? try waitOut(request, tenancy, output) : try open(request, tenancy, output)
    }

    private func plan(
        _ request: TenantRequest.Injection, _ tenancy: Tenancy, _ output: Output
    ) throws(Failure) -> ExitStatus {
        let plan = try tenancy.body(of: .plan(request))
        switch output.format {
        case .json: try output.document(plan)
        case .table:
            // Of a group there is one for each.
            for plan in plan["plans"]?.arrayValue ?? [plan] {
                try output.lines(
                    PlanText(plan: plan, request: request, key: tenant.key, waits: wait).lines(for: output))
            }
            if let seed = plan["seed"]?.integerValue {
                try output.line("To hit the same pods: --seed \(seed)")
            }
        }
        return .success
    }

    private func open(
        _ request: TenantRequest.Injection, _ tenancy: Tenancy, _ output: Output
    ) throws(Failure) -> ExitStatus {
        try output.report(try tenancy.inject(request))
        return .success
    }

    private func waitOut(
        _ request: TenantRequest.Injection, _ tenancy: Tenancy, _ output: Output
    ) throws(Failure) -> ExitStatus {
        let inbox = Inbox()
        let report = try tenancy.inject(request)
        if output.format == .json { try output.document(report) }
        if let group = GroupText(report) {
            return try GroupFollower(of: group, as: tenancy, lease: request.lease, inbox: inbox, output: output)
                .follow()
        }
        var follower = try Follower(
            of: report, at: .gateway(tenancy), inbox: inbox, output: output, onInterruption: .revert,
            renewal: request.lease.map { Follower.Renewal(tenancy: tenancy, lease: $0) })
        switch try follower.follow() {
        case .over(let report):
            try output.session(report)
            let session = SessionText(report: report)
            let isAsAsked = [Ending.expired, .completed].contains { $0.rawValue == session.ending }
            return session.isVerified && isAsAsked ? .success : .notAsAsked
        case .interrupted(let report):
            if let report { try output.session(report) }
            return .interrupted
        }
    }
}
