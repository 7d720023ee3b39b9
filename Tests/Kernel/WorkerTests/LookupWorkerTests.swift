import Glibc
import LinuxSystem
import Namespaces
import Processes
import TestKit
import Testing
import WorkerProtocol

/// Workers that ask name servers, of this test's own in a network of its own.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct LookupWorkerTests {
    @Test func `the first name that has an address is meant, with its addresses of both kinds`() throws {
        let answers = try lookUp([["db.shop.test", "db.test", "db"], ["web"], ["one-kind"], ["empty", "nowhere."]]) {
            name, type in
            switch (name, type) {
            case ("db.test", 1): Reply(addresses: [[10, 1, 2, 3], [10, 1, 2, 4]])
            case ("db.test", _): Reply(addresses: [[0xFD] + [UInt8](repeating: 0, count: 14) + [1]])
            case ("db", _): Reply(addresses: [])
            case ("web", 1): Reply(addresses: [[10, 9, 9, 9]])
            case ("one-kind", 1): Reply(addresses: [])
            case ("one-kind", _): Reply(addresses: [[0xFD] + [UInt8](repeating: 0, count: 14) + [2]])
            case ("web", _), ("empty", _): Reply(addresses: [])
            default: Reply(code: 3)
            }
        }
        #expect(
            answers == [
                .found(index: 0, isWhole: true, addresses: ["10.1.2.3", "10.1.2.4", "fd00::1"]),
                .found(index: 1, isWhole: true, addresses: ["10.9.9.9"]),
                .found(index: 2, isWhole: true, addresses: ["fd00::2"]),
                .missing(index: 3, isCertain: true, reason: "there is no such name"),
            ])
    }

    @Test func `a server that fails or is silent is no word about the name`() throws {
        let failing = try lookUp([["db"]]) { _, _ in Reply(code: 2) }
        #expect(failing == [.missing(index: 0, isCertain: false, reason: "a name server answered with code 2")])
        let begin = BootInstant.now
        let silent = try lookUp([["db"], ["web"], ["more"]]) { _, _ in nil }
        #expect(
            silent == (0..<3).map { .missing(index: $0, isCertain: false, reason: "no answer from the name server") })
        #expect(.now - begin < WorkerTask.lookupLimit + .seconds(5))
    }

    @Test func `of which only one kind was told is said`() throws {
        let answers = try lookUp([["db"]]) { _, type in type == 1 ? Reply(addresses: [[10, 1, 2, 3]]) : nil }
        #expect(answers == [.found(index: 0, isWhole: false, addresses: ["10.1.2.3"])])
    }

    @Test func `a name that nobody answers is not taken for another one`() throws {
        let answers = try lookUp([["db.shop.test", "db"]]) { name, _ in
            name == "db" ? Reply(addresses: []) : nil
        }
        #expect(answers == [.missing(index: 0, isCertain: false, reason: "no answer from the name server")])
    }

    @Test func `the next server is asked when one does not answer`() throws {
        let answers = try lookUp([["db"]], silentServers: 1) { _, type in
            Reply(addresses: type == 1 ? [[10, 1, 2, 3]] : [])
        }
        #expect(answers == [.found(index: 0, isWhole: true, addresses: ["10.1.2.3"])])
    }

    private struct Reply {
        var addresses: [[UInt8]] = []
        var code: UInt8 = 0
    }

    /// - Parameter reply: Nil for no answer.
    private func lookUp(
        _ names: [[String]], silentServers: Int = 0, _ reply: @escaping @Sendable (String, Int) -> Reply?
    ) throws -> [WorkerMessage] {
        var answers: [WorkerMessage] = []
        try inLoopbackNetwork { (network) throws in
            let server = try network.receiver(.udp, at: [127, 0, 0, 1])
            let nobody = InternetAddress(bytes: [127, 0, 0, 2], port: 9)
            var sockets: [Int32] = []
            defer { for each in sockets { close(each) } }
            for address in Array(repeating: nobody, count: silentServers) + [server.address] {
                sockets.append(try network.connected(to: address, over: .udp).release())
            }
            let raw = server.descriptor.rawValue
            let thread = try startThread { Self.serve(on: raw, reply) }
            // Before its descriptor is another's, whatever has failed. It ends with an empty packet.
            defer {
                if let end = try? network.connected(to: server.address, over: .udp) { send(end.rawValue, nil, 0, 0) }
                pthread_join(thread, nil)
            }
            let order = WorkerOrder(
                session: "lookup", deadline: (BootInstant.now + .seconds(30)).nanoseconds,
                task: .lookUp(names: names, servers: sockets.count))
            let descriptor = network.descriptor.rawValue
            let program = try WorkerTests.executable.get()
            let worker = try WorkerTests.thread.get().run { () throws in
                try Worker(order, running: program, files: sockets, network: descriptor)
            }
            answers = try worker.answers(names.count, atMost: .seconds(20))
            _ = try worker.end(atMost: .seconds(20))
        }
        return answers
    }

    private static func serve(on socket: Int32, _ reply: (String, Int) -> Reply?) {
        var bytes = [UInt8](repeating: 0, count: 1500)
        while true {
            var client = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutableBytes(of: &client) {
                recvfrom(
                    socket, &bytes, bytes.count, 0, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
            }
            guard count > 0 else { return }
            let question = Array(bytes[12..<count - 11])
            var labels: [String] = []
            var place = 0
            while question[place] > 0 {
                let size = Int(question[place])
                labels.append(String(decoding: question[place + 1...place + size], as: UTF8.self))
                place += size + 1
            }
            let type = Int(question[place + 2])
            guard let reply = reply(labels.joined(separator: "."), type) else { continue }
            var answer = bytes[0..<2] + [0x81, 0x80 | reply.code, 0, 1, 0, UInt8(reply.addresses.count), 0, 0, 0, 0]
            answer += question
            for address in reply.addresses {
                answer += [0xC0, 0x0C, 0, UInt8(type), 0, 1, 0, 0, 0, 60, 0, UInt8(address.count)] + address
            }
            let message = Array(answer)
            _ = withUnsafeBytes(of: client) {
                sendto(
                    socket, message, message.count, 0, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), length)
            }
        }
    }
}
