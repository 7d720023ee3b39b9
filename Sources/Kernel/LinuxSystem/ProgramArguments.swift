/// What is wrong with a command line; or, with status 0, what was asked to be printed.
package struct UsageError: Error, Hashable, Sendable {
    package let message: String
    package let status: Int32

    package init(_ message: String, status: Int32 = 64) {
        self.message = message
        self.status = status
    }
}

/// The command line of a program of the agent's: `--name value`, `--name=value` and `--flag`.
///
/// The resident programs read theirs by hand: an argument parser brings Foundation into each of them.
package struct ProgramArguments: Sendable {
    private var values: [String: [String]] = [:]
    private var flags: Set<String> = []

    /// - Throws: What is unknown, lacks its value, or is no option.
    package init(
        _ arguments: some Sequence<String>, options: Set<String>, flags known: Set<String> = []
    ) throws(UsageError) {
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard argument.hasPrefix("--"), let first = parts.first else {
                throw UsageError("unexpected argument \(argument)")
            }
            let name = String(first.dropFirst(2))
            if known.contains(name), parts.count == 1 {
                flags.insert(name)
            } else if options.contains(name) {
                guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                    throw UsageError("--\(name) wants a value")
                }
                values[name, default: []].append(value)
            } else {
                throw UsageError("unknown option \(argument)")
            }
        }
    }

    package func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// Every value that was given, in their order.
    package func all(_ name: String) -> [String] { values[name] ?? [] }

    /// The last value that was given.
    package subscript(name: String) -> String? { values[name]?.last }

    /// A number of bytes or of things, within a range.
    package func count(_ name: String, in range: ClosedRange<Int> = 1...Int.max) throws(UsageError) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            let most = range.upperBound == .max ? "" : ", \(range.upperBound) at most"
            throw UsageError("--\(name) is a number, \(range.lowerBound) at least\(most), not \(text)")
        }
        return number
    }

    /// A descriptor, user or other number that is not negative.
    package func number(_ name: String) throws(UsageError) -> Int32? {
        guard let text = self[name] else { return nil }
        guard let number = Int32(text), number >= 0 else {
            throw UsageError("--\(name) is a number, not \(text)")
        }
        return number
    }

    /// One of the words of a choice.
    package func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String
    ) throws(UsageError) -> Choice? where Choice.RawValue == String {
        guard let text = self[name] else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: " or ")
            throw UsageError("--\(name) is \(words), not \(text)")
        }
        return choice
    }
}
