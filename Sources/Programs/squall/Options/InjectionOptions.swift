import AgentClient
import ArgumentParser
import ChaosModel
import Faults

/// What is to be injected, into what, and for how long.
struct InjectionOptions: ParsableArguments {
    @Argument(
        help: "The fault: see 'squall fault list'.", completion: .list(FaultCatalogue.all.map { $0.kind }))
    var fault: String

    @Argument(help: ArgumentHelp("Its parameters: see 'squall fault show'.", valueName: "name=value"))
    var parameters: [String] = []

    @OptionGroup(title: "Target (exactly one)") var target: TargetOptions

    @Option(help: ArgumentHelp("How long, as 30s or 1m30s.", valueName: "time"))
    var duration = LengthOfTime(.seconds(30))

    @Option(
        help: ArgumentHelp(
            "Revert when nobody has renewed the session for so long.", valueName: "time"))
    var lease: LengthOfTime?

    @Option(help: ArgumentHelp("Why, for the records.", valueName: "text"))
    var reason: String?

    /// What is asked for, checked as far as it can be without the agent.
    func injection(standardLease: Duration? = nil) throws(Failure) -> TenantRequest.Injection {
        let given = try typedParameters
        do throws(Problem) {
            _ = try FaultCatalogue.fault(of: fault, parameters: given)
        } catch {
            throw Failure(error)
        }
        return TenantRequest.Injection(
            fault: fault, parameters: given, target: try target.selector, duration: duration.value,
            lease: lease?.value ?? standardLease, reason: reason)
    }

    private var typedParameters: JSON {
        get throws(Failure) {
            let known: [Parameter]
            do throws(Problem) {
                known = try FaultCatalogue.fault(of: fault).parameters
            } catch {
                throw Failure(error)
            }
            var members: [JSON.Member] = []
            for text in parameters {
                guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                    throw Failure(
                        .invalid, "a parameter is written NAME=VALUE, not \"\(text)\"", field: "parameters",
                        hint: "squall fault show \(fault)")
                }
                let name = String(text[..<equals])
                guard !members.contains(where: { $0.name == name }) else {
                    throw Failure(.invalid, "\(name) is given twice", field: "parameters.\(name)")
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
        case .duration, .bytes, .choice, .path: .string(text)
        case .boolean: text == "true" ? true : text == "false" ? false : .string(text)
        case .integer: Int64(text).map(JSON.integer) ?? .string(text)
        case .percentage: Self.number(text.hasSuffix("%") ? text.dropLast() : text[...]) ?? .string(text)
        }
    }

    private static func number(_ text: Substring) -> JSON? {
        Int64(text).map(JSON.integer) ?? Double(text).flatMap { $0.isFinite ? .number($0) : nil }
    }
}

/// A length of time as people write it.
struct LengthOfTime: ExpressibleByArgument {
    let value: Duration

    init(_ value: Duration) { self.value = value }

    init?(argument: String) {
        guard let value = Duration(text: argument), value > .zero else { return nil }
        self.value = value
    }

    var defaultValueDescription: String { value.text }
}
