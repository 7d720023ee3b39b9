import Dispatch

/// Serial queues for calls that wait in the kernel: each queue that is busy has a thread, which ends when it has had
/// nothing to do for a few seconds. The global queue has no more threads than there are CPUs, whatever they wait for.
///
/// Who has claimed something must not wait for a queue: it is taken first, and only when it is idle.
final class DeletionQueues {
    private var idle: [DispatchQueue]
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(label: String, count: Int) {
        idle = (0..<count).map { DispatchQueue(label: "\(label).\($0)") }
    }

    /// Nil when all are busy.
    func take() -> DispatchQueue? { idle.popLast() }

    func giveBack(_ queue: DispatchQueue) {
        idle.append(queue)
        if !waiting.isEmpty { waiting.removeFirst().resume() }
    }

    /// Returns when one may be idle.
    func untilOneIsIdle(_ isolation: isolated (any Actor)? = #isolation) async {
        guard idle.isEmpty else { return }
        await withCheckedContinuation { waiting.append($0) }
    }
}
