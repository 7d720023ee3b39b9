import Glibc
import LinuxSystem
import Synchronization

/// A thread that computes one value, and then lives until it is told to end.
final class OneShotThread: Sendable {
    let value: Int32
    private let thread: pthread_t
    private let start: Start

    init(_ body: @escaping @Sendable () throws -> Int32) throws {
        let start = Start(body)
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Start>.fromOpaque(argument).takeUnretainedValue().run() }
                return nil
            }, Unmanaged.passUnretained(start).toOpaque())
        self.thread = thread
        self.start = start
        value = try start.wait()
    }

    func end() {
        start.mayEnd.store(true, ordering: .releasing)
        pthread_join(thread, nil)
    }

    private final class Start: Sendable {
        let mayEnd = Atomic(false)
        private let outcome = Mutex<Result<Int32, any Error>?>(nil)
        private let body: @Sendable () throws -> Int32

        init(_ body: @escaping @Sendable () throws -> Int32) { self.body = body }

        func run() {
            let result = Result { try body() }
            outcome.withLock { $0 = result }
            while !mayEnd.load(ordering: .acquiring) { usleep(1000) }
        }

        func wait() throws -> Int32 {
            while true {
                if let result = outcome.withLock({ $0 }) { return try result.get() }
                usleep(1000)
            }
        }
    }
}
