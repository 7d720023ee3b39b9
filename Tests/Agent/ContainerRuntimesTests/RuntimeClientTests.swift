import AgentAPI
import ContainerRuntimes
import Glibc
import Testing

struct RuntimeClientTests {
    private let wholeIdentifier = "4f6b1c2d3e4f" + String(repeating: "5a", count: 26)

    private func failure(of client: RuntimeClient) -> RuntimeFailure? {
        do throws(RuntimeFailure) {
            _ = try client.container("4f6b1c2d3e4f")
            return nil
        } catch {
            return error
        }
    }

    @Test func `a container is what the runtimes process says it is`() throws {
        let process = try RuntimesProcess { connection in
            var question = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection, &question, question.count, 0)
            guard Array(question[..<count]) == RuntimeQuestion.container("4f6b1c2d3e4f").frame.encoded else { return }
            let answer = RuntimeAnswer.container(exampleContainer).answer.frame.encoded
            write(Array(answer[..<7]), to: connection)
            usleep(20_000)
            write(Array(answer[7...]), to: connection)
        }
        #expect(try RuntimeClient(path: process.path).container("4f6b1c2d3e4f") == exampleContainer)
    }

    @Test func `a failure is thrown as it was said`() throws {
        let process = try RuntimesProcess {
            write(RuntimeAnswer.failure(.notRunning(.exited)).answer.frame.encoded, to: $0)
            usleep(200_000)
        }
        #expect(failure(of: RuntimeClient(path: process.path)) == .notRunning(.exited))
    }

    @Test func `an answer about another container is refused`() throws {
        let process = try RuntimesProcess {
            write(RuntimeAnswer.container(exampleContainer).answer.frame.encoded, to: $0)
            usleep(200_000)
        }
        #expect(throws: RuntimeFailure.refused(reason: "the answer is not about container another")) {
            try RuntimeClient(path: process.path).container("another")
        }
    }

    @Test(arguments: ["shop-db", "shop-web"])
    func `a container that is no pod's is told by its name`(name: String) throws {
        let process = try RuntimesProcess { [wholeIdentifier] in
            let container = RuntimeContainer(
                id: wholeIdentifier, name: name, processID: 2, cgroupsPath: nil, createdAt: nil, sandbox: nil)
            write(RuntimeAnswer.container(container).answer.frame.encoded, to: $0)
            usleep(200_000)
        }
        let found = Result { () throws(RuntimeFailure) in
            try RuntimeClient(path: process.path).container(named: exampleName).name
        }
        let refusal = RuntimeFailure.refused(reason: "the answer is not about container shop-db")
        #expect(found == (name == "shop-db" ? .success(name) : .failure(refusal)))
    }

    @Test func `the beginning of an identifier is enough where there is no pod`() throws {
        let process = try RuntimesProcess { [wholeIdentifier] in
            let container = RuntimeContainer(
                id: wholeIdentifier, name: "web", processID: 2, cgroupsPath: nil, createdAt: nil, sandbox: nil)
            write(RuntimeAnswer.container(container).answer.frame.encoded, to: $0)
            usleep(200_000)
        }
        #expect(try RuntimeClient(path: process.path).container("4f6b1c2d3e4f").id == wholeIdentifier)
    }

    @Test func `no socket is an unreachable runtime, not a missing container`() {
        guard case .unreachable = failure(of: RuntimeClient(path: "/nonexistent/runtimes.sock")) else {
            Issue.record("not unreachable")
            return
        }
    }

    @Test func `hanging up is an unreachable runtime`() throws {
        let process = try RuntimesProcess { _ in usleep(50_000) }
        guard case .unreachable = failure(of: RuntimeClient(path: process.path)) else {
            Issue.record("not unreachable")
            return
        }
    }

    @Test func `bytes that are no frame are refused`() throws {
        let process = try RuntimesProcess {
            write([0xFF, 0xFF, 0xFF, 0xFF, 16], to: $0)
            usleep(200_000)
        }
        #expect(
            failure(of: RuntimeClient(path: process.path))
                == .refused(reason: "malformed frame from \(process.path)"))
    }

    private func stop(_ path: String, unless withdrawal: Withdrawal = Withdrawal()) -> Result<Int32?, RuntimeFailure> {
        Result { () throws(RuntimeFailure) in
            try RuntimeClient(path: path, patience: .seconds(2)).stop(
                "4f6b1c2d3e4f", graceSeconds: 30, unless: withdrawal)
        }
    }

    @Test func `a container is told to stop, and its exit status is told`() throws {
        let process = try RuntimesProcess { connection in
            var question = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection, &question, question.count, 0)
            guard
                Array(question[..<count]) == RuntimeQuestion.stop("4f6b1c2d3e4f", graceSeconds: 30).frame.encoded
            else { return }
            write(RuntimeAnswer.stopped(exitCode: 143).answer.frame.encoded, to: connection)
        }
        #expect(stop(process.path) == .success(143))
    }

    @Test func `of a container that was told to stop, silence is not taken for a refusal`() throws {
        let process = try RuntimesProcess { connection in
            var question = [UInt8](repeating: 0, count: 4096)
            _ = recv(connection, &question, question.count, 0)
        }
        #expect(
            stop(process.path) == .failure(.unconfirmed(reason: "\(process.path) closed without an answer")))
    }

    @Test(arguments: [
        RuntimeFailure.notRunning(.exited), .unreachable(reason: "away"), .unconfirmed(reason: "no answer in time"),
    ])
    func `why a container was not stopped is thrown as it was said`(failure: RuntimeFailure) throws {
        let process = try RuntimesProcess {
            write(RuntimeAnswer.failure(failure).answer.frame.encoded, to: $0)
            usleep(200_000)
        }
        #expect(stop(process.path) == .failure(failure))
    }

    @Test func `without a runtimes process nothing was told to stop`() {
        guard case .failure(.unreachable) = stop("/nonexistent/runtimes.sock") else {
            Issue.record("not unreachable")
            return
        }
    }

    @Test func `an order to stop is taken back while it waits`() throws {
        let withdrawal = Withdrawal()
        let process = try RuntimesProcess { connection in
            var question = [UInt8](repeating: 0, count: 4096)
            _ = recv(connection, &question, question.count, 0)
            withdrawal.withdraw()
            // Whoever asked has hung up.
            #expect(recv(connection, &question, question.count, 0) == 0)
        }
        let began = ContinuousClock.now
        guard case .failure(.unconfirmed) = stop(process.path, unless: withdrawal) else {
            Issue.record("not unconfirmed")
            return
        }
        #expect(ContinuousClock.now - began < .seconds(20), "it has 42 seconds")
    }

    @Test func `an order that is taken back before it waits does not wait`() throws {
        let withdrawal = Withdrawal()
        withdrawal.withdraw()
        let process = try RuntimesProcess { _ in sleep(5) }
        #expect(stop(process.path, unless: withdrawal) == .failure(.unconfirmed(reason: "it was taken back")))
    }

    @Test func `a question ends at its deadline, though bytes trickle in`() throws {
        let process = try RuntimesProcess { connection in
            for byte in RuntimeAnswer.container(exampleContainer).answer.frame.encoded {
                write([byte], to: connection)
                usleep(50_000)
            }
        }
        let client = RuntimeClient(path: process.path, patience: .milliseconds(300))
        let began = ContinuousClock.now
        #expect(
            failure(of: client)
                == .unreachable(reason: "no answer from \(process.path) in \(Duration.milliseconds(300))"))
        #expect(ContinuousClock.now - began < .seconds(2))
    }
}
