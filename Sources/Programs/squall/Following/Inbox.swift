import ChaosModel
import Dispatch
import Synchronization

/// Everything that a follower waits for, in the order in which it came: the session's events, clocks, and signals.
final class Inbox: Sendable {
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

    private let messages = Mutex<[Message]>([])
    private let arrivals = DispatchSemaphore(value: 0)
    private let clock = DispatchQueue(label: "squall.clock")

    /// From here on, SIGINT and SIGTERM are messages.
    init() {
        Interruption.tell { [self] in post(.interrupted) }
    }

    /// Waits for the next message.
    func next() -> Message {
        arrivals.wait()
        return messages.withLock { $0.removeFirst() }
    }

    func post(_ message: Message) {
        messages.withLock { $0.append(message) }
        arrivals.signal()
    }

    func post(_ message: Message, every interval: Duration) {
        clock.asyncAfter(deadline: .now() + interval.seconds) { [self] in
            post(message)
            post(message, every: interval)
        }
    }

    /// Reading events blocks, so a thread of its own does it.
    func read(eventsOf id: SessionID, from agent: Agent, after delay: Duration = .zero) {
        DispatchQueue(label: "squall.events").asyncAfter(deadline: .now() + delay.seconds) { [self] in
            do throws(Failure) {
                try agent.events(of: id) { post(.event($0)) }
                post(.eventsEnded(nil))
            } catch {
                post(.eventsEnded(error))
            }
        }
    }
}
