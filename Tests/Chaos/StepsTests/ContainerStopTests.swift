import Cgroups
import ChaosModel
import Glibc
import LinuxSystem
import Namespaces
import Steps
import Synchronization
import Targets
import TestKit
import Testing

/// A runtime that does with an order to stop what the test says.
private final class FakeStopper: ContainerStopper {
    enum Behaviour: Sendable {
        case stops(exitCode: Int32?)
        case fails(ContainerStopError)
        /// Says nothing before it is released, or the order taken back.
        case waits
    }

    private let behaviour: Behaviour
    private let orders = Mutex<[ContainerStop]>([])
    private let isReleased = Mutex(false)
    private let takenBack = Mutex(0)

    init(_ behaviour: Behaviour) {
        self.behaviour = behaviour
    }

    var asked: [ContainerStop] { orders.withLock { $0 } }
    var takenBackCount: Int { takenBack.withLock { $0 } }
    func release() { isReleased.withLock { $0 = true } }

    func stop(_ stop: ContainerStop) async throws(ContainerStopError) -> Int32? {
        orders.withLock { $0.append(stop) }
        switch behaviour {
        case .stops(let exitCode): return exitCode
        case .fails(let error): throw error
        case .waits:
            while !Task.isCancelled, !isReleased.withLock({ $0 }) {
                // Cancelled, which is seen above.
                try? await Task.sleep(for: .milliseconds(2))
            }
            if Task.isCancelled { takenBack.withLock { $0 += 1 } }
            throw ContainerStopError("no answer in time", isUntold: false)
        }
    }
}

struct NoContainers: ContainerDirectory {
    func container(_ id: String) throws(Problem) -> RunningContainer { throw Problem(.targetNotFound, id) }
    func container(named name: ContainerName) throws(Problem) -> RunningContainer { throw Problem(.targetNotFound, "") }
    func container(of pod: PodSelector) throws(Problem) -> RunningContainer { throw Problem(.targetNotFound, "") }
    func choice(of group: PodGroup, seed: Int64) throws(Problem) -> (chosen: [ChosenContainer], matched: Int) {
        ([], 0)
    }
    func container(_ chosen: ChosenContainer, of group: PodGroup) throws(Problem) -> RunningContainer {
        throw Problem(.targetNotFound, chosen.id)
    }
    func successor(of container: TargetFacts.Container) throws(Problem) -> Successor<RunningContainer> { .never }
    func count() throws(Problem) -> Int { 0 }
}

/// A step runner, and a cgroup that stands for the container.
private struct World {
    let runner: StepRunner
    let target: ResolvedTarget
    let stopper: FakeStopper
    let news = Mutexed<[String]>([])
    private let cgroup: TemporaryCgroup

    /// Root, and a first process whose network can be told from a target's.
    static let isPossible = geteuid() == 0 && access("/proc/1/ns/net", R_OK) == 0

    init(_ behaviour: FakeStopper.Behaviour) async throws {
        let cgroups = try CgroupTree()
        let thread = try NamespaceThread()
        cgroup = try TemporaryCgroup()
        runner = StepRunner(thread: thread, spawner: try NamespaceThread(), cgroups: cgroups)
        stopper = FakeStopper(behaviour)
        await runner.use(stopper: stopper)
        let resolver = try TargetResolver(containers: NoContainers(), cgroups: cgroups, thread: thread)
        target = try await resolver.resolve(.cgroup(cgroup.path))
    }

    func perform(_ intent: Intent, of session: SessionID, within time: Duration = .seconds(30)) async throws(StepError)
    {
        let news = self.news
        try await runner.perform(intent, step: 0, of: session, on: target, until: .now + time) { said in
            news.withLock { $0.append("\(said)") }
        }
    }

    /// What becomes of a step whose undoing is asked for until it is done.
    func undo(_ intent: Intent, of session: SessionID) async throws -> UndoOutcome {
        for _ in 0..<1000 {
            switch await runner.undo(intent, step: 0, of: session) {
            case .done(let outcome): return outcome
            case .unfinished(let delay): try await Task.sleep(for: delay)
            }
        }
        throw StepError("undoing does not end")
    }
}

private final class Mutexed<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>
    init(_ value: Value) { mutex = Mutex(value) }
    func withLock<Result: Sendable>(_ body: (inout sending Value) -> sending Result) -> Result { mutex.withLock(body) }
}

@Suite(.enabled(if: World.isPossible, "needs root, and to see the namespaces of the first process"))
struct ContainerStopTests {
    private let session = SessionID.random()
    private let order = ContainerStop(of: "4f6b1c2d3e4f5a6b", graceSeconds: 30)
    private var intent: Intent { .stopContainer(order) }

    @Test func `the order says what is done, with whom`() {
        #expect(
            order.summary == "stop container 4f6b1c2d3e4f with its own stop signal, and with SIGKILL after 30s")
        #expect(ContainerStop(of: "4f6b", graceSeconds: 0).summary == "stop container 4f6b with SIGKILL")
        #expect(!intent.isReversible && !intent.runsWorker && intent.shared == nil)
        #expect(intent.tags(step: 0, of: session) == [])
    }

    @Test func `a container that is stopped stays so, and how it ended is told`() async throws {
        let world = try await World(.stops(exitCode: 143))
        #expect(try await world.runner.prepare([.stopContainer(order)], on: world.target) == [intent])
        #expect(world.stopper.asked == [])
        try await world.perform(intent, of: session)
        #expect(world.stopper.asked == [order])
        guard case .stopped(_, exitCode: 143) = await world.runner.effect(of: intent, step: 0, of: session) else {
            Issue.record("no effect")
            return
        }
        #expect(try await world.undo(intent, of: session) == .irreversible)
        #expect(await world.runner.effect(of: intent, step: 0, of: session) == nil)
    }

    @Test(arguments: [(true, UndoOutcome.alreadyRestored), (false, .irreversible)])
    func `a runtime that was told nothing has changed nothing`(isUntold: Bool, outcome: UndoOutcome) async throws {
        let world = try await World(.fails(ContainerStopError("the runtime is away", isUntold: isUntold)))
        await #expect(throws: StepError("the runtime is away")) { try await world.perform(intent, of: session) }
        #expect(await world.runner.effect(of: intent, step: 0, of: session) == nil)
        #expect(try await world.undo(intent, of: session) == outcome)
        #expect(world.news.withLock { $0 } == [], "it was thrown")
    }

    @Test func `a stop that takes long is under way, and taken back when the session ends`() async throws {
        let world = try await World(.waits)
        try await world.perform(intent, of: session, within: .milliseconds(30))
        #expect(await world.runner.effect(of: intent, step: 0, of: session) == nil)
        #expect(world.stopper.takenBackCount == 0)
        #expect(try await world.undo(intent, of: session) == .irreversible)
        #expect(world.stopper.takenBackCount == 1)
        #expect(world.news.withLock { $0 } == [], "it was wanted so")
    }

    @Test func `a stop that fails while the session lives is news`() async throws {
        let world = try await World(.waits)
        try await world.perform(intent, of: session, within: .milliseconds(30))
        world.stopper.release()
        for _ in 0..<1000 where world.news.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(5)) }
        #expect(world.news.withLock { $0 } == [#"stopFailed("no answer in time")"#])
        #expect(try await world.undo(intent, of: session) == .irreversible)
    }

    @Test func `of what an earlier engine has done nobody knows how far it came`() async throws {
        let world = try await World(.waits)
        #expect(try await world.undo(intent, of: session) == .irreversible)
        guard case .done(.alreadyRestored) = await world.runner.undo(intent, step: 0, of: session, isOfThisBoot: false)
        else {
            Issue.record("the node was restarted")
            return
        }
        #expect(world.stopper.asked == [])
    }

    @Test func `a container is stopped once at a time`() async throws {
        let world = try await World(.waits)
        try await world.perform(intent, of: session, within: .zero)
        let problem = try await #require(throws: Problem.self) {
            try await world.runner.prepare([.stopContainer(order)], on: world.target)
        }
        #expect(problem.code == .targetBusy)
        await #expect(throws: StepError.self) { try await world.perform(intent, of: .random()) }
        #expect(world.stopper.asked.count == 1)
        _ = try await world.undo(intent, of: session)
        #expect(try await world.runner.prepare([.stopContainer(order)], on: world.target) == [intent])
    }

    @Test func `only so many containers are being stopped at once`() async throws {
        let world = try await World(.waits)
        let sessions = (0..<32).map { _ in SessionID.random() }
        for (number, session) in sessions.enumerated() {
            let other = Intent.stopContainer(ContainerStop(of: "\(number)", graceSeconds: 30))
            try await world.perform(other, of: session, within: .zero)
        }
        let problem = try await #require(throws: Problem.self) {
            try await world.runner.prepare([.stopContainer(order)], on: world.target)
        }
        #expect(problem.code == .limitExceeded)
        await #expect(throws: StepError.self) { try await world.perform(intent, of: session) }
        #expect(world.stopper.asked.count == 32)
        // It was not even ordered.
        #expect(try await world.undo(intent, of: session) == .alreadyRestored)
        for session in sessions { _ = try await world.undo(intent, of: session) }
        #expect(try await world.runner.prepare([.stopContainer(order)], on: world.target) == [intent])
    }
}
