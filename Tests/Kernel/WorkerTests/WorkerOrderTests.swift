import Testing
import WorkerProtocol

struct WorkerOrderTests {
    @Test func `an order reads back as it was written`() {
        let order = WorkerOrder(session: "s-1", deadline: 123_456_789_012, task: .cpu(load: 33.3, threads: 4))
        #expect(order.arguments == ["squall-worker", "s-1", "123456789012", "cpu", "33.3", "4"])
        #expect(WorkerOrder(arguments: order.arguments) == order)
    }

    @Test(arguments: [
        [], ["squall-worker"], ["other", "s", "1", "cpu", "50", "1"], ["squall-worker", "", "1", "cpu", "50", "1"],
        ["squall-worker", "s", "soon", "cpu", "50", "1"], ["squall-worker", "s", "1", "gpu", "50", "1"],
        ["squall-worker", "s", "1", "cpu", "0", "1"], ["squall-worker", "s", "1", "cpu", "101", "1"],
        ["squall-worker", "s", "1", "cpu", "nan", "1"], ["squall-worker", "s", "1", "cpu", "50", "0"],
        ["squall-worker", "s", "1", "cpu", "50"], ["squall-worker", "s", "1", "cpu", "50", "1", "more"],
    ])
    func `anything else is no order`(arguments: [String]) {
        #expect(WorkerOrder(arguments: arguments) == nil)
    }

    @Test func `messages read back as they were written`() {
        for message in [WorkerMessage.ready, .failed(reason: "no threads: Resource temporarily unavailable")] {
            #expect(message.line.last == "\n")
            #expect(WorkerMessage(line: message.line.dropLast()) == message)
        }
        #expect(WorkerMessage(line: "hello") == nil)
    }
}
