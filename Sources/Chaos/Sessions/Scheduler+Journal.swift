import Authorization
import ChaosModel
package import Journal
import LinuxSystem

extension Scheduler {
    /// Why no session can be made durable, and so none be opened; nil when nothing is known against it. What has failed is
    /// tried again, so that whoever asks learns when the disk is well again.
    package func journalTrouble() async -> String? {
        guard let failure = await journal.failure else { return nil }
        // Anybody may ask, as often as they like.
        if let triedAt = journalTriedAt, BootInstant.now - triedAt < .seconds(1) { return failure }
        journalTriedAt = .now
        do {
            try await commit([.clockSeen], isBeginning: true)
            return nil
        } catch {
            return "\(error)"
        }
    }

    func commit(_ entries: [JournalEntry], isBeginning: Bool = false) async throws(JournalError) {
        while isCompacting { await withCheckedContinuation { waitingForCompaction.append($0) } }
        commitsUnderWay += 1
        defer { commitsUnderWay -= 1 }
        let length = try await journal.commit(entries, isBeginning: isBeginning)
        journalLength = length
        guard let compactionLength, length >= compactionLength, !isCompacting else { return }
        isCompacting = true
        // Whoever waits for this commit takes note of it first, in this turn of the actor.
        Task { await compactAgain(length) }
    }

    /// Rewrites the journal without what no longer matters, and again whenever it has grown.
    ///
    /// - Parameter scan: What the journal said when it was opened.
    package func compactJournal(_ scan: JournalScan) async throws(JournalError) {
        isCompacting = true
        compactionLength = min(limits.compaction, limits.journal)
        try await whenQuiet { () async throws(JournalError) in
            try await compact(tokens: scan.tokens, halt: scan.halt, highWater: scan.highWater)
        }
    }

    private func compactAgain(_ length: Int) async {
        do {
            try await whenQuiet { () async throws(JournalError) in
                try await compact(tokens: replay.tokens, halt: halt, highWater: replay.highWater)
            }
        } catch {
            // A full disk, mostly. The journal is as it was, and this is tried again when it has grown.
            compactionLength = min(length * 2, limits.journal)
        }
    }

    /// With no commit under way, and none beginning, what is remembered here is what the journal says.
    private func whenQuiet(_ body: () async throws(JournalError) -> Void) async throws(JournalError) {
        defer {
            isCompacting = false
            let waiting = waitingForCompaction
            waitingForCompaction = []
            for each in waiting { each.resume() }
        }
        while commitsUnderWay > 0 { await pause(.milliseconds(1)) }
        try await body()
    }

    private func compact(tokens: [TakenToken], halt: Halt?, highWater: Int64) async throws(JournalError) {
        let over = past.compactMap { session in
            session.machine.ending.map { PastSession(opened: session.record, ended: session.ended($0)) }
        }
        let length = try await journal.compact(
            keeping: live.values.map(\.record), past: over.suffix(limits.rememberedAcrossRestarts),
            mostPastBytes: limits.journal / 4, tokens: tokens, halt: halt, highWater: highWater)
        journalLength = length
        compactionLength = min(max(limits.compaction, 2 * length), limits.journal)
    }
}
