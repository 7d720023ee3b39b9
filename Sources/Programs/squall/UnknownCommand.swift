import ArgumentParser

/// A word where a command was due and none has that name: the argument parser takes it for one argument too many.
struct UnknownCommand {
    private let word: String
    /// The command that it was said to.
    private let path: [String]
    private let known: [String]

    /// Nil when the words name a command as far as commands go.
    init?(in words: some Sequence<String>) {
        var command: any ParsableCommand.Type = Squall.self
        var path = [Squall._commandName]
        for word in words {
            let subcommands = command.configuration.subcommands
            guard !subcommands.isEmpty, !word.hasPrefix("-"), word != "help" else { return nil }
            guard let next = subcommands.first(where: { $0._commandName == word }) else {
                self.word = word
                self.path = path
                known = subcommands.map { $0._commandName }
                return
            }
            command = next
            path.append(word)
        }
        return nil
    }

    var failure: Failure {
        let meant = suggestion(for: word, among: known).map { "did you mean \((path + [$0]).joined(separator: " "))? " }
        return Failure(
            .invalid, "there is no command \"\((path.dropFirst() + [word]).joined(separator: " "))\"",
            hint: "\(meant ?? "")known: \(known.joined(separator: ", "))")
    }
}
