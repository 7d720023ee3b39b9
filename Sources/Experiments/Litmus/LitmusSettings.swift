import ChaosModel
import ExperimentRunner

/// The variables that LitmusChaos gives an experiment's program, with its rule that an empty one is not there.
package struct LitmusSettings: Sendable {
    /// Of a length of time: ten days of seconds.
    private static let mostUnits: Int64 = 864_000

    private let variables: [String: String]

    /// - Parameters:
    ///   - environment: The program's own, which Litmus's runner has filled.
    ///   - engine: What a ChaosEngine says of this experiment, where no runner has: weaker than the environment.
    package init(environment: [String: String], engine: [String: String] = [:]) {
        variables = engine.merging(environment.filter { !$0.value.isEmpty }) { _, own in own }
    }

    /// Nil where it is not there, or empty.
    package subscript(name: String) -> String? {
        variables[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The first of them that is there: later ones are older names.
    func text(_ names: String..., otherwise standard: String = "") -> String {
        names.lazy.compactMap { self[$0] }.first ?? standard
    }

    /// A whole number, or one of a range `a-b` by chance.
    ///
    /// - Throws: For what is no number: Litmus takes zero for it.
    func number(_ name: String, otherwise standard: Int64) throws(LitmusError) -> Int64 {
        guard let text = self[name] else { return standard }
        if let number = Int64(text) { return number }
        let ends = text.split(separator: "-").map { Int64($0.drop { $0 == " " }) }
        if ends.count == 2, let low = ends[0], let high = ends[1], low <= high { return Int64.random(in: low...high) }
        throw LitmusError(.generic, "\(name) is \(text.cut(to: 64)), and no whole number")
    }

    /// Seconds, or a length of time with its unit.
    func seconds(_ name: String, otherwise standard: Int64) throws(LitmusError) -> Duration {
        try time(name, unit: .seconds(1), otherwise: .seconds(standard))
    }

    /// - Parameter unit: Of a number without one.
    func time(_ names: String..., unit: Duration, otherwise standard: Duration) throws(LitmusError) -> Duration {
        for name in names {
            guard let text = self[name] else { continue }
            let duration: Duration?
            if let number = Int64(text) {
                duration = (0...Self.mostUnits).contains(number) ? unit * Int(number) : nil
            } else {
                duration = Duration(text: text)
            }
            guard let duration else {
                throw LitmusError(.generic, "\(name) is \(text.cut(to: 64)), and no length of time up to ten days")
            }
            return duration
        }
        return standard
    }

    func isTrue(_ name: String, otherwise standard: Bool) -> Bool {
        self[name].map { ["true", "1", "t", "T", "TRUE", "True"].contains($0) } ?? standard
    }

    /// The parts of a list, without blank space around them.
    func list(_ names: String...) -> [String] {
        let text = names.lazy.compactMap { self[$0] }.first ?? ""
        return text.split(separator: ",").map { String($0).withoutBlanks }.filter { !$0.isEmpty }
    }
}

extension String {
    var withoutBlanks: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}

/// Why a Litmus experiment could not be done, with Litmus's word for the kind.
package struct LitmusError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        case generic = "GENERIC_ERROR"
        case targets = "TARGET_SELECTION_ERROR"
        case statusChecks = "STATUS_CHECKS_ERROR"
        case injection = "CHAOS_INJECT_ERROR"
    }

    package let code: Code
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
