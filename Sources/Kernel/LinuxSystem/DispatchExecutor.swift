package import Dispatch

/// Lets an actor run on a Dispatch queue, so that the handlers of Dispatch sources and actor code exclude each other.
///
/// The queue targets the global one: with a target of its own each hop may start another thread.
package final class DispatchExecutor: SerialExecutor {
    package let queue: DispatchQueue

    package init(label: String) {
        queue = DispatchQueue(label: label, target: .global())
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func checkIsolated() {
        dispatchPrecondition(condition: .onQueue(queue))
    }
}
