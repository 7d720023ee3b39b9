package import ChaosModel
import Journal
import LinuxSystem

extension Scheduler {
    /// Ends every session and takes no new one until `resume`, whatever restarts meanwhile. Returns when nothing is left,
    /// or nothing but stuck sessions.
    ///
    /// - Returns: The sessions that it ended.
    /// - Throws: `journal-unavailable` when it ends with this engine, since it could not be written down. Everything is
    ///   ended all the same.
    package func halt(reason: String?) async throws(Problem) -> [SessionReport] {
        let halt = Halt(since: wallSeconds(), reason: reason)
        self.halt = halt
        let ended = live.values.filter { $0.machine.ending == nil }
        // Told before anything is waited for: a slow disk holds up no ending.
        for session in ended { session.post(.end(.halted)) }
        var unwritten: Problem?
        do throws(Problem) {
            try await write([.halted(halt)])
        } catch {
            unwritten = error
        }
        await endAll(.halted)
        if let unwritten {
            throw Problem(
                .journalUnavailable,
                "all sessions are ended, but a restart of the agent will forget the halt: \(unwritten.message)",
                hint: unwritten.hint)
        }
        return ended.map(\.report)
    }

    /// Takes new sessions again.
    ///
    /// - Throws: `journal-unavailable` when a restart would halt the node again.
    package func resume() async throws(Problem) {
        guard let halt else { return }
        try await write([.resumed])
        // Not the halt of somebody else meanwhile.
        if self.halt == halt { self.halt = nil }
    }
}
