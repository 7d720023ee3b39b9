import ChaosModel
import Dispatch

/// Everything that a follower waits for, in one stream: the session's events, clocks, and signals.
final class Inbox {
    enum Message: Sendable {
        case event(JSON)
        /// The stream of events has ended: with the session, or too early.
        case eventsEnded(Failure?)
        /// A second has passed.
        case second
        /// It is time to renew the lease.
        case leaseDue
        case interrupted
    }

    let messages: AsyncStream<Message>
    private let continuation: AsyncStream<Message>.Continuation
    private let queue = DispatchQueue(label: "squall.clocks")
    private var timers: [any DispatchSourceTimer] = []

    /// From here on, SIGINT and SIGTERM are messages.
    init() {
        (messages, continuation) = AsyncStream.makeStream()
        Interruption.tell { [continuation] in continuation.yield(.interrupted) }
    }

    deinit {
        for timer in timers { timer.cancel() }
    }

    func send(_ message: Message, every interval: Duration) {
        let timer = DispatchSource.makeTimerSource(queue: queue)
        let nanoseconds = Int(clamping: Int64(interval.seconds * 1e9))
        timer.schedule(deadline: .now() + interval.seconds, repeating: .nanoseconds(nanoseconds))
        timer.setEventHandler { [continuation] in continuation.yield(message) }
        timer.resume()
        timers.append(timer)
    }

    /// Reading events blocks, so a thread of its own does it.
    func read(eventsOf id: SessionID, from agent: Agent, after delay: Duration = .zero) {
        DispatchQueue(label: "squall.events").asyncAfter(deadline: .now() + delay.seconds) { [continuation] in
            do throws(Failure) {
                try agent.events(of: id) { continuation.yield(.event($0)) }
                continuation.yield(.eventsEnded(nil))
            } catch {
                continuation.yield(.eventsEnded(error))
            }
        }
    }
}
