import Authorization
package import ChaosModel
import Journal
import LinuxSystem
import Steps

extension Scheduler {
    /// What happened since the engine was started.
    package struct Counts: Sendable {
        /// Sessions by their fault.
        package var opened: [String: Int] = [:]
        package var ended: [Ending: Int] = [:]
        /// Steps by the word for what undoing them found.
        package var undone: [String: Int] = [:]
        /// By fault: how long applying it took, from when the session was on disk.
        package var applied: [String: DurationHistogram] = [:]
        /// By fault: how long taking it back took, from when the session was told to end, however often it was tried; of
        /// sessions of this engine.
        package var reverted: [String: DurationHistogram] = [:]
        package var workerExits: [WorkerExit: Int] = [:]
        /// Sessions that an earlier engine had left.
        package var orphans = 0
    }

    /// How a session's worker ended.
    package enum WorkerExit: String, CaseIterable, Sendable {
        /// When its fault was taken back.
        case told
        /// Before that: by itself, or by somebody's signal.
        case early
        /// Before that, since the target's memory ran out.
        case outOfMemory = "out-of-memory"
    }

    package func count(of state: SessionState) -> Int { live.values.count { $0.machine.state == state } }

    /// Live sessions by fault and state.
    package var liveCounts: [String: [SessionState: Int]] {
        live.values.reduce(into: [:]) { $0[$1.record.fault, default: [:]][$1.machine.state, default: 0] += 1 }
    }

    /// Tokens that have been used and are still remembered.
    package var rememberedTokens: Int { replay.count(after: wallSeconds()) }

    /// Descriptors that are kept for what is under way: connections, undoing, the journal.
    private static let keptDescriptors = 128
    /// What one session may hold, and more.
    private static let descriptorsOfSession = 16

    func refuseBeyondLimits() throws(Problem) {
        let sessions = live.count + opening
        guard sessions < limits.sessions else {
            throw Self.refusal("this node has \(sessions) live sessions, its limit is \(limits.sessions)")
        }
        try refuseBeyondUse()
    }

    /// What is asked for a session that lives, too, when it begins anew.
    func refuseBeyondUse() throws(Problem) {
        guard journalLength < limits.journal else {
            throw Self.refusal("the journal has \(journalLength) bytes, its limit is \(limits.journal)")
        }
        let use: OwnUse
        do throws(SystemCallError) {
            use = try OwnUse()
        } catch {
            throw Self.refusal("the agent cannot tell what it uses: \(error)")
        }
        guard use.memory < limits.memory else {
            throw Self.refusal("the agent uses \(use.memory) bytes of memory, its limit is \(limits.memory)")
        }
        let descriptors = use.descriptors + opening * Self.descriptorsOfSession
        let most = use.descriptorLimit - Self.keptDescriptors
        guard descriptors + Self.descriptorsOfSession <= most else {
            throw Self.refusal("the agent has \(descriptors) files open, its limit is \(most)")
        }
    }

    /// Forgets the oldest session that is over of the tenant that has most: no tenant pushes out what others want to know.
    func forgetOne() {
        let counts = past.reduce(into: [:]) { $0[$1.tenant, default: 0] += 1 }
        guard let most = counts.values.max(),
            let index = past.firstIndex(where: { counts[$0.tenant] == most })
        else { return }
        past.remove(at: index)
    }

    func refuseBeyondWorkers() throws(Problem) {
        // Others that are being opened may want one too.
        let workers = live.values.reduce(opening - 1) { $0 + $1.record.intents.count(where: \.runsWorker) }
        guard workers < limits.workers else {
            throw Self.refusal("this node has \(workers) workers, its limit is \(limits.workers)")
        }
    }

    private static func refusal(_ reason: String) -> Problem {
        Problem(.limitExceeded, reason, hint: "wait until sessions have ended, or raise the limit: `squalld --help`")
    }
}
