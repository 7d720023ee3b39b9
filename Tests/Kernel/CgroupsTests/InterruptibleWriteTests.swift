import Glibc
import LinuxSystem
import Testing

struct InterruptibleWriteTests {
    /// A pipe that nobody reads from: what is written into it waits as soon as it is full.
    private func withFullPipe(_ body: (consuming OwnedDescriptor) throws -> Void) throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let reader = OwnedDescriptor(adopting: ends[0])
        let writer = OwnedDescriptor(adopting: ends[1])
        _ = fcntl(writer.rawValue, F_SETFL, O_NONBLOCK)
        let block = [UInt8](repeating: 0, count: 4096)
        while write(writer.rawValue, block, block.count) > 0 {}
        _ = fcntl(writer.rawValue, F_SETFL, 0)
        try body(writer)
        withExtendedLifetime(reader) {}
    }

    @Test func `a write that waits is left when it is interrupted`() throws {
        try withFullPipe { pipe in
            let write = try InterruptibleWrite("text", to: pipe)
            usleep(100_000)
            #expect(!write.hasEnded && write.failure == nil)
            for _ in 0..<1000 where !write.hasEnded {
                write.interrupt()
                usleep(1000)
            }
            #expect(write.hasEnded && write.failure == .interrupted)
        }
    }

    @Test func `one that ended is not interrupted any more, and tells why it failed`() throws {
        let file = try OwnedDescriptor.open("/dev/full", O_WRONLY)
        let write = try InterruptibleWrite("text", to: file)
        while !write.hasEnded { usleep(1000) }
        #expect(write.failure?.rawValue == ENOSPC)
        write.interrupt()
    }
}
