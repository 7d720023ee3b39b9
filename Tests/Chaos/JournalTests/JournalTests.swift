import Authorization
import Cgroups
import ChaosModel
import DeadMan
import Glibc
import Journal
import LinuxSystem
import Steps
import TestKit
import Testing
import WorkerProtocol

/// A directory that is removed with everything in it.
private struct TemporaryDirectory: ~Copyable {
    let path: String

    init() throws {
        var template = Array("/tmp/squall-journal.XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in (try? TextFile.names(in: path)) ?? [] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    var journal: String { "\(path)/\(Journal.fileName)" }

    func bytes() throws -> [UInt8] {
        try OwnedDescriptor.open(journal, O_RDONLY).readToEnd(subject: journal)
    }

    func write(_ bytes: [UInt8]) throws {
        try OwnedDescriptor.open(journal, O_WRONLY | O_TRUNC | O_CREAT, mode: 0o600).writeAll(bytes, subject: journal)
    }
}

/// `chattr +i`, by the ioctl behind it; false where the file system knows no such flag.
private func setImmutable(_ descriptor: Int32, _ isImmutable: Bool) -> Bool {
    var flags = 0
    guard ioctl(descriptor, 0x8008_6601, &flags) == 0 else { return false }
    flags = isImmutable ? flags | 0x10 : flags & ~0x10
    return ioctl(descriptor, 0x4008_6602, &flags) == 0
}

private func session(token: String = "token-0001") throws -> OpenedSession {
    let tenant = try #require(Tenant("shop"))
    let id = SessionID.random()
    let cgroup = TargetFacts.Cgroup(path: "/kubepods/pod\"\n/x", id: 4242)
    let network = TargetFacts.NetworkNamespace(inode: 4_026_531_840, cookie: .max)
    return OpenedSession(
        id: id, token: TakenToken(tenant: tenant, tokenID: token, expires: 2_000_000_030, scope: .session(id)),
        bootID: "boot", pidNamespace: 4_026_531_836, openedAt: 1, deadline: 2, openedAtWall: 2_000_000_000,
        fault: "network-latency",
        parameters: ["latency": "100ms"], summary: "delay", reason: "a drill", lease: .seconds(5),
        onRestart: .reinject, target: TargetFacts(container: nil, process: nil, network: network, cgroup: cgroup),
        intents: [
            .shapeTraffic(
                TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(100))), in: network,
                base: TrafficBase(interfaces: [.init(index: 2, name: "eth0", hadClsact: false, transmitQueueLength: 0)])
            ),
            .runWorker(.cpu(load: 50, threads: 2), outOfMemoryScore: 1000, in: cgroup),
            .runWorker(.cpu(load: 12.5, threads: 2, rampNanoseconds: 7), outOfMemoryScore: 1000, in: cgroup),
            .fillDisk(
                FillFile(
                    bytes: 8192, reserve: 6, isVisible: false,
                    load: IOLoad(readPercent: 1, blockSize: 8192, threads: 3, isDirect: true).map(FileLoad.io),
                    directory: "/data",
                    process: .init(id: 7, startTime: 8), device: 1, inode: 9, pathInFilesystem: nil,
                    upperDirectory: nil), in: cgroup),
            .fillDisk(
                FillFile(
                    bytes: 8192, reserve: 6, isVisible: false,
                    load: .cache(CacheLoad(rampNanoseconds: 7, isHot: true)), directory: "/data",
                    process: .init(id: 7, startTime: 8), device: 1, inode: 9, pathInFilesystem: nil,
                    upperDirectory: nil), in: cgroup),
            .lowerLimit(
                LimitLayer(
                    .memory, limit: CgroupLimit(amount: 4096, text: "4096"),
                    base: CgroupLimit(amount: nil, text: "max")), in: cgroup),
            .lowerLimit(
                LimitLayer(
                    .freezer, limit: CgroupLimit(amount: 0, text: "1"), base: CgroupLimit(amount: nil, text: "0")),
                in: cgroup),
            .runWorker(
                .network(
                    try #require(
                        NetworkLoad(
                            .tcp, to: InternetAddress(bytes: [0xfd] + [UInt8](repeating: 0, count: 15), port: 5001),
                            bitsPerSecond: 8000, blockSize: 512, sockets: 8))),
                outOfMemoryScore: 1000, in: cgroup),
            .signalProcesses(SignalOrder(.hangUp, names: ["nginx", "a b"]), in: cgroup),
            .signalProcesses(SignalOrder(.kill, names: nil), in: cgroup),
            .stopContainer(ContainerStop(of: "4f6b1c2d3e4f", graceSeconds: 30)),
            .stopService(
                FoundService(unit: "nginx.service", run: "71234567", dependents: ["a@b.service", "c.target"])),
            .restartService(FoundService(unit: "nginx.service", run: "71234567", dependents: [])),
            .skewClock(
                SteppedClock(
                    offset: .seconds(-3600), before: WallClock.Lead(nanoseconds: 1_763_940_000_123_456_789))),
            .shutDown(ShutdownOrder(.reboot, after: .seconds(90))),
            .shutDown(ShutdownOrder(.powerOff, after: .milliseconds(1500))),
            .runWorker(.memory(bytes: 1 << 40, rampNanoseconds: 7), outOfMemoryScore: 0, in: cgroup),
            .runWorker(.memory(bytes: 1 << 40, rampNanoseconds: 7, isHot: true), outOfMemoryScore: 0, in: cgroup),
            .fillDisk(
                FillFile(
                    bytes: 5, reserve: 6, isVisible: true, directory: "/data\n", process: .init(id: 7, startTime: 8),
                    device: .max, inode: 9, pathInFilesystem: "/a b", upperDirectory: nil), in: cgroup),
            .lowerLimit(
                LimitLayer(
                    .cpu, limit: CgroupLimit(amount: 500_000, text: "50000 100000"),
                    base: CgroupLimit(amount: nil, text: "max 100000")), in: cgroup),
        ])
}

private func ended(_ session: OpenedSession, _ ending: Ending) -> EndedSession {
    let effects: [Effect?] = [
        .traffic(packets: 12, dropped: 1), .cpu(used: .milliseconds(1500), over: .seconds(3)),
        .memory(resident: ByteCount(1 << 40)), .cache(resident: ByteCount(4096)), .disk(allocated: ByteCount(0)),
        .throttled(for: .milliseconds(1500), limit: 0.5), .throttled(for: .zero, limit: nil),
        .reclaimed(ByteCount(5), used: ByteCount(6)), .paused(for: .milliseconds(1500)),
        .signalled(3),
        .io(
            read: ByteCount(7), written: ByteCount(8), operations: IOOperations(reads: 9, writes: 10),
            over: .milliseconds(1500)),
        .io(read: ByteCount(7), written: ByteCount(8), operations: nil, over: .milliseconds(1500)),
        .sent(ByteCount(9), packets: 3, over: .milliseconds(1500)), .sent(ByteCount(9), packets: nil, over: .zero),
        .stopped(after: .milliseconds(1500), exitCode: 137), .stopped(after: .zero, exitCode: nil),
        .clockMoved(by: .nanoseconds(-3_600_000_000_001)), .hostOrdered(.reboot), .hostWentDown(.powerOff),
    ]
    let outcomes: [UndoOutcome?] = [
        .restored, .drifted(found: "a qdisc"), .failed("busy"), .restored, nil, .alreadyRestored, .restored, .restored,
        .restored, .irreversible, .restored, .restored, .restored, .restored, .irreversible, .irreversible,
        .restored, .irreversible, .irreversible,
    ]
    return EndedSession(
        id: session.id, ending: ending,
        steps: zip(effects, outcomes).map { effect, outcome in
            EndedSession.Step(performed: outcome != nil, undo: outcome, effect: effect)
        })
}

struct JournalTests {
    @Test func `a new journal knows nothing`() throws {
        let directory = try TemporaryDirectory()
        let scan = try Journal.open(in: directory.path).scan
        #expect(scan.live.isEmpty)
        #expect(scan.tokens.isEmpty)
    }

    @Test func `an opened session is there after a restart, whole`() async throws {
        let directory = try TemporaryDirectory()
        let opened = try session()
        let journal = try Journal.open(in: directory.path).journal
        try await journal.commit([.opened(opened)])
        #expect(await journal.failure == nil)
        let scan = try Journal.open(in: directory.path).scan
        let found = try #require(scan.live.first)
        #expect(JournalEntry.opened(found).json == JournalEntry.opened(opened).json)
        #expect(found.intents == opened.intents)
        #expect(found.target == opened.target)
        #expect(scan.tokens == [opened.token])
        #expect(scan.damagedLines.isEmpty)
        #expect(abs(scan.highWater - wallSeconds()) < 60)
    }

    @Test func `a session that moved is taken back where it is now`() async throws {
        let directory = try TemporaryDirectory()
        let opened = try session()
        let journal = try Journal.open(in: directory.path).journal
        let moved = MovedSession(
            id: opened.id,
            target: TargetFacts(
                container: nil, process: nil, network: nil, cgroup: TargetFacts.Cgroup(path: "/new", id: 7)),
            intents: [
                .runWorker(
                    .cpu(load: 1, threads: 1), outOfMemoryScore: 5, in: TargetFacts.Cgroup(path: "/new", id: 7))
            ])
        try await journal.commit([.opened(opened)])
        try await journal.commit([.moved(moved)])
        let found = try #require(try Journal.open(in: directory.path).scan.live.first)
        #expect(found.id == opened.id)
        #expect(found.onRestart == .reinject)
        #expect(found.target == moved.target)
        #expect(found.intents == moved.intents)
        // And so it is written when the journal is compacted.
        try await journal.compact(keeping: [found], past: [], tokens: [], halt: nil, highWater: 0)
        #expect(try Journal.open(in: directory.path).scan.live.first?.intents == moved.intents)
    }

    @Test func `an ended session is not live, and its token is still taken`() async throws {
        let directory = try TemporaryDirectory()
        let opened = try session()
        let journal = try Journal.open(in: directory.path).journal
        try await journal.commit([.opened(opened)])
        try await journal.commit([.ended(ended(opened, .expired))])
        let scan = try Journal.open(in: directory.path).scan
        #expect(scan.live.isEmpty)
        #expect(scan.tokens == [opened.token])
        let past = try #require(scan.past.first)
        #expect(past.opened.id == opened.id)
        #expect(past.ended.ending == .expired)
        #expect(past.ended.steps == ended(opened, .expired).steps)
    }

    @Test func `commits that wait together all come through`() async throws {
        let directory = try TemporaryDirectory()
        let journal = try Journal.open(in: directory.path).journal
        let sessions = try (0..<100).map { try session(token: "token-\($0)-xxxx") }
        try await withThrowingTaskGroup { group in
            for session in sessions { group.addTask { try await journal.commit([.opened(session)]) } }
            try await group.waitForAll()
        }
        #expect(Set(try Journal.open(in: directory.path).scan.live.map(\.id)) == Set(sessions.map(\.id)))
    }

    @Test func `a write cut short at any byte loses nothing before it`() async throws {
        let directory = try TemporaryDirectory()
        let first = try session()
        let journal = try Journal.open(in: directory.path).journal
        try await journal.commit([.opened(first)])
        let whole = try directory.bytes()
        try await journal.commit([.ended(ended(first, .expired))])
        let longer = try directory.bytes()
        for length in whole.count..<longer.count {
            try directory.write(Array(longer[..<length]))
            let scan = try Journal.open(in: directory.path).scan
            #expect(scan.live.map(\.id) == [first.id])
            #expect(scan.damagedLines.isEmpty)
            // The half line is cut off, so that the next line does not continue it.
            #expect(try directory.bytes() == whole)
        }
    }

    @Test func `a flipped bit damages one line and no other`() async throws {
        let directory = try TemporaryDirectory()
        let sessions = try (0..<3).map { try session(token: "token-\($0)-xxxx") }
        let journal = try Journal.open(in: directory.path).journal
        for session in sessions { try await journal.commit([.opened(session)]) }
        let good = try directory.bytes()
        let lines = good.split(separator: 0x0A, omittingEmptySubsequences: false)
        let second = lines[0].count + 1 + lines[1].count + 1
        for offset in second..<second + lines[2].count {
            var bad = good
            bad[offset] ^= 0x01
            // A bit that makes a line feed makes two damaged lines, and still hurts no other.
            try directory.write(bad)
            let scan = try Journal.open(in: directory.path).scan
            #expect(scan.live.map(\.id) == [sessions[0].id, sessions[2].id])
            #expect(!scan.damagedLines.isEmpty)
        }
    }

    /// 1,000 journals with up to eight random changes each, from the same seed in every run.
    @Test func `whatever is done to its bytes, whole lines are believed and nothing else`() async throws {
        let directory = try TemporaryDirectory()
        let journal = try Journal.open(in: directory.path).journal
        for number in 0..<4 {
            let session = try session(token: "token-\(number)-xxxx")
            try await journal.commit([.opened(session)])
            if number < 2 { try await journal.commit([.ended(ended(session, .expired))]) }
        }
        let good = try directory.bytes()
        let original = Set(good.split(separator: 0x0A).map(Array.init))
        var random = SeededNumbers(seed: 4711)
        var damaged = 0
        for _ in 0..<1000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...8, using: &random) { change(&bytes, using: &random) }
            try directory.write(bytes)
            var records: [JournalRecord] = []
            do {
                let scan = try Journal.read(in: directory.path) { records.append($0) }
                damaged += scan.damagedLines.count
            } catch {
                // Another line than the header comes first.
                guard case .unknownFormat = error else { throw error }
                continue
            }
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().map(Array.init)
            #expect(records.map(\.line) == Array(lines.indices.dropFirst().map { $0 + 1 }))
            for record in records {
                // The header, where an entry is expected, is whole and no entry.
                let isEntry = if case .entry = record.content { true } else { false }
                let isIntact = original.contains(lines[record.line - 1]) && !lines[record.line - 1].isHeader
                #expect(isEntry == isIntact, "line \(record.line)")
            }
        }
        #expect(damaged > 300, "hardly anything was damaged: this shows nothing")
    }

    private func change(_ bytes: inout [UInt8], using random: inout SeededNumbers) {
        guard bytes.count > 1 else { return }
        let start = Int.random(in: bytes.indices, using: &random)
        let end = min(bytes.count, start + Int.random(in: 1...400, using: &random))
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[start] = .random(in: 0...255, using: &random)
        case 1: bytes.removeSubrange(start..<end)
        case 2: bytes.insert(contentsOf: bytes[start..<end], at: .random(in: bytes.indices, using: &random))
        case 3: for index in start..<end { bytes[index] = 0 }
        case 4: bytes.insert(0x0A, at: start)
        default: bytes.removeSubrange(end...)
        }
    }

    @Test func `a journal of another format is not guessed at`() throws {
        let directory = try TemporaryDirectory()
        _ = try Journal.open(in: directory.path)
        // The header of a version 2, with its right checksum.
        try directory.write(Array("bca501a8 {\"format\":\"squall-journal\",\"version\":2}\n".utf8))
        #expect(throws: JournalError.self) { try Journal.open(in: directory.path) }
    }

    @Test func `compaction keeps what lives and forgets the rest`() async throws {
        let directory = try TemporaryDirectory()
        let kept = try session(token: "token-kept")
        let gone = try session(token: "token-gone")
        let journal = try Journal.open(in: directory.path).journal
        try await journal.commit([.opened(kept), .opened(gone)])
        try await journal.commit([.ended(ended(gone, .cancelled))])
        try await journal.compact(
            keeping: [kept], past: [], tokens: [kept.token, gone.token], halt: Halt(since: 7, reason: "x"),
            highWater: 2_100_000_000)
        let scan = try Journal.open(in: directory.path).scan
        #expect(scan.live.map(\.id) == [kept.id])
        #expect(scan.tokens == [kept.token], "the other had expired by the time that the journal knew")
        #expect(scan.highWater == 2_100_000_000)
        // And the journal goes on in the new file.
        try await journal.commit([.ended(ended(kept, .expired))])
        #expect(try Journal.open(in: directory.path).scan.live.isEmpty)
    }

    @Test func `compaction keeps the last of those that are over, in so many bytes`() async throws {
        let directory = try TemporaryDirectory()
        let past = try (0..<5).map { number in
            let opened = try session(token: "token-\(number)-xxxx")
            return PastSession(opened: opened, ended: ended(opened, .expired))
        }
        let journal = try Journal.open(in: directory.path).journal
        let whole = try await journal.compact(keeping: [], past: past, tokens: [], halt: nil, highWater: 0)
        try await journal.compact(
            keeping: [], past: past, mostPastBytes: whole / 2, tokens: past.map(\.opened.token), halt: nil, highWater: 0
        )
        let scan = try Journal.open(in: directory.path).scan
        #expect(scan.past.map(\.opened.id) == past.suffix(2).map(\.opened.id))
        // Whose line is gone, their token is still taken.
        #expect(Set(scan.tokens) == Set(past.map(\.opened.token)))
    }

    @Test func `a journal that cannot be written is read all the same, and refuses what is new`() async throws {
        let directory = try TemporaryDirectory()
        let opened = try session()
        try await Journal.open(in: directory.path).journal.commit([.opened(opened)])
        // As on a file system that was remounted read-only; permissions would not stop root.
        let bytes = try directory.bytes()
        let file = try OwnedDescriptor.open(directory.journal, O_RDONLY)
        try #require(setImmutable(file.rawValue, true), "this file system has no immutable files")
        defer { _ = setImmutable(file.rawValue, false) }
        let (journal, scan) = try Journal.open(in: directory.path)
        #expect(scan.live.map(\.id) == [opened.id])
        await #expect(throws: JournalError.self) { try await journal.commit([.ended(ended(opened, .expired))]) }
        #expect(try directory.bytes() == bytes)
        #expect(await journal.failure?.contains("Operation not permitted") == true)
    }

    @Test func `a reader is told every line, and leaves the file to its writer`() async throws {
        let directory = try TemporaryDirectory()
        let opened = try session()
        let journal = try Journal.open(in: directory.path).journal
        try await journal.commit([.opened(opened)])
        let good = try directory.bytes()
        try await journal.commit([.ended(ended(opened, .expired))])
        let unknown = Array("5e7d0e17 {\"wall\":7,\"body\":{\"entry\":\"from-the-future\"}}\n".utf8)
        try directory.write(good + unknown + Array("nonsense\nhalf a li".utf8))
        let bytes = try directory.bytes()

        var records: [JournalRecord] = []
        let scan = try Journal.read(in: directory.path) { records.append($0) }
        #expect(records.map(\.line) == [2, 3, 4])
        guard case .entry(let entry) = records[0].content, case .unknown = records[1].content,
            case .damaged = records[2].content
        else {
            Issue.record("\(records.map(\.content))")
            return
        }
        #expect(entry.json == JournalEntry.opened(opened).json)
        #expect(records[0].json?["body"] == entry.json)
        #expect(records[1].json?["body"] == ["entry": "from-the-future"])
        #expect(records[2].json == nil)
        #expect(records.map(\.wall) == [scan.highWater, 7, nil])
        #expect(scan.live.map(\.id) == [opened.id])
        #expect(scan.damagedLines == [3, 4])
        #expect(scan.tornBytes == 9)
        #expect(try directory.bytes() == bytes)
    }

    @Test func `there is nothing to read where no journal is`() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: JournalError.self) { try Journal.read(in: directory.path) { _ in } }
        #expect(try TextFile.names(in: directory.path).isEmpty)
    }

    @Test func `the checksum is CRC-32C`() throws {
        let directory = try TemporaryDirectory()
        _ = try Journal.open(in: directory.path)
        // Computed with another implementation.
        #expect(
            String(decoding: try directory.bytes(), as: UTF8.self)
                == "8842a931 {\"format\":\"squall-journal\",\"version\":1}\n")
    }
}

extension [UInt8] {
    fileprivate var isHeader: Bool { String(decoding: self, as: UTF8.self).contains("squall-journal") }
}
