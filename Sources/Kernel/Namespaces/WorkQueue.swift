internal import Glibc

/// Hands closures to one thread, in order; whoever hands one over waits until it has run.
final class WorkQueue: @unchecked Sendable {
    /// A closure that some thread waits for. Only the two threads ever touch it, the one after the other.
    private final class Job: @unchecked Sendable {
        /// Nil once it has run: the closure must not outlive its caller's wait, not even as a reference.
        private(set) var work: (() -> Void)?
        init(_ work: @escaping () -> Void) { self.work = work }

        @inline(never)
        func run() { work?() }
        func finish() { work = nil }
    }

    // Guarded by `mutex`.
    private var jobs: [Job] = []
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// A queue lives as long as the process: its thread never ends.
    init() {
        mutex.initialize(to: pthread_mutex_t())
        changed.initialize(to: pthread_cond_t())
    }

    func perform(_ work: () -> Void) {
        withoutActuallyEscaping(work) { work in
            let job = Job(work)
            pthread_mutex_lock(mutex)
            jobs.append(job)
            pthread_cond_broadcast(changed)
            while job.work != nil { pthread_cond_wait(changed, mutex) }
            pthread_mutex_unlock(mutex)
        }
    }

    /// Waits for a closure and runs it.
    func runNext() {
        pthread_mutex_lock(mutex)
        while jobs.isEmpty { pthread_cond_wait(changed, mutex) }
        let job = jobs.removeFirst()
        pthread_mutex_unlock(mutex)
        job.run()
        pthread_mutex_lock(mutex)
        job.finish()
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(mutex)
    }
}
