import AgentClient
import ArgumentParser
import Authorization
import ChaosModel
import Faults
import LinuxSystem

/// What is to be injected, into what, and for how long.
struct InjectionOptions: ParsableArguments {
    @Argument(
        help: "The fault: see 'squall fault list'.", completion: .list(FaultCatalogue.all.map { $0.kind }))
    var fault: String

    @Argument(help: ArgumentHelp("Its parameters: see 'squall fault show'.", valueName: "name=value"))
    var parameters: [String] = []

    @OptionGroup(title: "Target (exactly one)") var target: TargetOptions

    @OptionGroup(title: "Several pods: a session on each") var several: SeveralOptions

    @Option(
        help: ArgumentHelp("How long, as 1m30s, from 100ms to 2h; 30s if not said.", valueName: "time"),
        transform: LengthOfTime.init(argument:))
    var duration = LengthOfTime(InjectionRequest.defaultDuration)

    @Option(
        help: ArgumentHelp(
            "Revert when nobody has renewed the session for so long, from 1s to the duration.", valueName: "time"),
        transform: LengthOfTime.init(argument:))
    var lease: LengthOfTime?

    @Option(
        help: ArgumentHelp(
            "When the target's container or unit ends: end the session (if not said), or reinject when it was started again.",
            valueName: "end|reinject"))
    var onRestart = RestartPolicy.end

    @Option(help: ArgumentHelp("Why, for the records.", valueName: "text"))
    var reason: String?

    @Option(
        help: ArgumentHelp(
            "The trace that this belongs to, as W3C's Trace Context has it; $TRACEPARENT if not said.",
            valueName: "value"))
    var traceparent: String?

    /// What is asked for, checked as far as it can be without the agent.
    func injection(standardLease: Duration? = nil) throws(Failure) -> TenantRequest.Injection {
        let given = try typedParameters
        do throws(Problem) {
            _ = try FaultCatalogue.fault(of: fault, parameters: given)
        } catch {
            throw refusal(error)
        }
        try checkTimes()
        let target = try several.target(among: target)
        if onRestart == .reinject {
            guard target.isStartedAgain else {
                throw Failure(
                    .invalid, "only a container or a unit is started again", field: "on-restart",
                    hint: "name the target by --pod, --container or --unit, or leave --on-restart out")
            }
        }
        return TenantRequest.Injection(
            fault: fault, parameters: given, target: target, duration: duration.value,
            lease: lease?.value ?? standardLease, onRestart: onRestart, reason: reason, trace: try trace)
    }

    /// What is wrong with the environment's is no reason to refuse a request.
    private var trace: TraceContext? {
        get throws(Failure) {
            guard let traceparent else { return environmentVariable("TRACEPARENT").flatMap(TraceContext.init) }
            guard let trace = TraceContext(traceparent) else {
                throw Failure(
                    .invalid, "that is no traceparent of W3C's Trace Context", field: "--traceparent",
                    hint: "as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            }
            return trace
        }
    }

    /// What is wrong with a parameter, with what was probably meant and where to read about it.
    private func refusal(_ problem: Problem) -> Failure {
        let prefix = "parameters."
        let name = problem.field.flatMap { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
        let names = FaultCatalogue.all.first { $0.kind == fault }?.parameters.map(\.name) ?? []
        let meant = problem.code == .fieldUnknown ? name.flatMap { suggestion(for: $0, among: names) } : nil
        return Failure(problem, suggesting: meant, remedy: "'squall fault show \(fault)' explains its parameters")
    }

    private func checkTimes() throws(Failure) {
        let durations = InjectionRequest.durations
        guard durations.contains(duration.value) else {
            throw Failure(
                .invalid, "the duration is \(duration)", field: "duration",
                hint: "\(durations.lowerBound.text) to \(durations.upperBound.text)")
        }
        let shortest = InjectionRequest.shortestLease
        if let lease, lease.value < shortest || lease.value > duration.value {
            throw Failure(
                .invalid, "the lease is \(lease)", field: "lease",
                hint: "\(shortest.text) at least, and no longer than the duration of \(duration)")
        }
    }

    private var typedParameters: JSON {
        get throws(Failure) {
            let known = try FaultCatalogue.named(fault).parameters
            var members: [JSON.Member] = []
            for text in parameters {
                guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                    throw Failure(
                        .invalid, "a parameter is written NAME=VALUE, not \"\(text)\"", field: "parameters",
                        hint: "'squall fault show \(fault)' explains its parameters")
                }
                let name = String(text[..<equals])
                guard !members.contains(where: { $0.name == name }) else {
                    throw Failure(
                        .invalid, "\(name) is given twice", field: "parameters.\(name)", hint: "leave one out")
                }
                let value = String(text[text.index(after: equals)...])
                members.append(JSON.Member(name, known.first { $0.name == name }?.json(of: value) ?? .string(value)))
            }
            return .object(members)
        }
    }
}

extension Parameter {
    /// The JSON value that a word of the command line stands for. What is no such value stays text,
    /// for `ParameterValues` to refuse with the range allowed.
    fileprivate func json(of text: String) -> JSON {
        switch kind {
        case .duration, .offset, .bytes, .rate, .choice, .path, .endpoint: .string(text)
        case .boolean: text == "true" ? true : text == "false" ? false : .string(text)
        case .integer: Int64(text).map(JSON.integer) ?? .string(text)
        case .percentage: Self.number(text.hasSuffix("%") ? text.dropLast() : text[...]) ?? .string(text)
        case .networks, .ports, .names, .hosts:
            .array(text.split(separator: ",", omittingEmptySubsequences: false).map { .string(String($0)) })
        }
    }

    private static func number(_ text: Substring) -> JSON? {
        Int64(text).map(JSON.integer) ?? Double(text).flatMap { $0.isFinite ? .number($0) : nil }
    }
}

/// Of the pods that match, how many, and which.
struct SeveralOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Hit so many of the pods that match on this node, chosen by chance.", valueName: "number"))
    var count: Int64?

    @Option(help: ArgumentHelp("Hit this share of them, one at least; 100 for all.", valueName: "number"))
    var percent: Int64?

    @Option(
        help: ArgumentHelp(
            "Choose as the request did that told this number: the same of the same pods.", valueName: "number"))
    var seed: Int64?

    func target(among options: TargetOptions) throws(Failure) -> InjectionTarget {
        var document = try options.document
        let own = JSON.object([
            ("count", count.map(JSON.integer)), ("percent", percent.map(JSON.integer)),
            ("seed", seed.map(JSON.integer)),
        ])
        if let members = own.members, !members.isEmpty {
            guard let pod = document["pod"]?.members else {
                throw Failure(
                    .invalid, "only pods are chosen among", field: "--\(members[0].name)",
                    hint: "name them by --namespace and --selector")
            }
            document = ["pods": .object(pod + members)]
        }
        do throws(Problem) {
            return try InjectionTarget(document)
        } catch {
            throw Failure(error)
        }
    }
}

extension RestartPolicy: ExpressibleByArgument {}

/// A length of time as people write it.
struct LengthOfTime: CustomStringConvertible {
    let value: Duration

    init(_ value: Duration) { self.value = value }

    init(argument: String) throws {
        guard let value = Duration(text: argument), value > .zero else {
            throw ArgumentRefusal(description: "a time is written with its unit, as 500ms, 30s or 1m30s")
        }
        self.value = value
    }

    var description: String { value.text }
}

extension FaultCatalogue {
    /// The fault of this name, as the command line asks for it.
    static func named(_ kind: String) throws(Failure) -> any Fault.Type {
        do throws(Problem) {
            return try fault(of: kind)
        } catch {
            throw Failure(error, suggesting: suggestion(for: kind, among: all.map { $0.kind }))
        }
    }
}
