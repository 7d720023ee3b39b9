import AgentAPI
import Authorization
import ChaosModel
import Glibc
import Journal
import LinuxSystem
import Namespaces
import Netlink
import Signatures
import Steps

/// The parts of a request, each alone: `Microbenchmarks PART COUNT PLACE` does a part as often as told and prints, in JSON, the
/// median of what one took and the tenth and ninetieth percentile, in nanoseconds. With COUNT 0 only what comes before is done, so
/// that instructions can be told from those of the beginning. PLACE is an empty directory; for `latency` it is the path of a
/// network namespace. See scripts/bench.
@main
enum Microbenchmarks {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count == 3, let part = Part(rawValue: arguments[0]), let count = Int(arguments[1]), count >= 0
        else {
            let parts = Part.allCases.map(\.rawValue).joined(separator: " ")
            StandardStream.error.writeLine("Microbenchmarks PART COUNT PLACE, where PART is one of: \(parts)")
            exit(64)
        }
        try await part.run(Stopwatch(count: count), in: arguments[2])
    }
}

/// Does something as often as it is told, and prints how long it took.
struct Stopwatch {
    let count: Int

    func measure(_ name: String, _ body: () async throws -> Void) async throws {
        var nanoseconds: [Int64] = []
        nanoseconds.reserveCapacity(count)
        for _ in 0..<count {
            let start = BootInstant.now
            try await body()
            nanoseconds.append(BootInstant.now.nanoseconds - start.nanoseconds)
        }
        tell(name, nanoseconds)
    }

    func tell(_ name: String, _ nanoseconds: [Int64]) {
        let sorted = nanoseconds.sorted()
        func at(_ percent: Int) -> JSON {
            sorted.isEmpty ? .null : .integer(sorted[min(sorted.count - 1, sorted.count * percent / 100)])
        }
        let told: JSON = [
            "name": .string(name), "count": .integer(Int64(count)), "median": at(50), "p10": at(10), "p90": at(90),
        ]
        StandardStream.output.writeLine(told.text)
    }
}

enum Part: String, CaseIterable {
    /// The claims of an injection are parsed and written again.
    case json
    /// A frame with a token is written and read, as between gateway and engine.
    case frame
    /// A token of an injection is taken apart, its signature verified, and its claims read.
    case eddsa, es256
    /// An entry is made durable, and beside it as many bytes by nothing but write and fdatasync.
    case journal
    /// clsact is added to an interface and deleted, which any kernel can do that Squall runs on.
    case clsact
    /// 100 ms for everything that the interfaces of a network namespace send, made, verified and taken back.
    case latency
    /// Not a benchmark, but a rival: touches each page of as many bytes as COUNT says, and then waits to be ended.
    case touch

    func run(_ stopwatch: Stopwatch, in place: String) async throws {
        switch self {
        case .json:
            let bytes = Self.claims.bytes
            try await stopwatch.measure(rawValue) { _ = try JSON(parsing: bytes).bytes }
        case .frame:
            let token = String(repeating: "x", count: 800)
            let payload = EnvelopeRequest(route: .inject, scope: nil, token: token).payload
            try await stopwatch.measure(rawValue) {
                var decoder = FrameDecoder()
                decoder.append(Frame(.envelope, payload).encoded[...])
                guard try decoder.next()?.payload == payload else { fatalError("another frame") }
            }
        case .eddsa: try await verify(.edDSA, stopwatch, in: place)
        case .es256: try await verify(.es256, stopwatch, in: place)
        case .journal: try await append(stopwatch, in: place)
        case .clsact:
            let thread = try NamespaceThread()
            let socket = try withTemporaryNetworkNamespace { namespace in try thread.socket(in: namespace) }
            try socket.addIFB(named: "bench")
            guard let link = try socket.links().first(where: { $0.name == "bench" }) else { fatalError("no interface") }
            try await stopwatch.measure(rawValue) {
                try socket.addClsact(to: link.index)
                try socket.deleteClsact(from: link.index)
            }
        case .touch: try touch(stopwatch.count)
        case .latency:
            // Never in the namespace that this process is in itself.
            let own = try NamespaceHandle(.network, at: "/proc/self/ns/net")
            let namespace = try NamespaceHandle(.network, at: place)
            guard namespace.inode != own.inode else { fatalError("\(place) is this process's own namespace") }
            let shaper = TrafficShaper(try NamespaceThread().socket(in: namespace))
            let base = try shaper.observe()
            let session = SessionID.random()
            let layer = TrafficLayer(
                filter: .everything, impairment: TrafficImpairment(latency: .milliseconds(100)))
            try await stopwatch.measure(rawValue) {
                for layers in [[session: layer], [:]] {
                    guard case .settled(let drift) = try shaper.converge(to: layers, from: base, giveUpDraining: true),
                        drift.isEmpty, try shaper.verify(layers, base: base).isEmpty
                    else { fatalError("it did not settle") }
                }
            }
        }
    }

    private func touch(_ bytes: Int) throws {
        let pages = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let pages, pages != MAP_FAILED else { throw SystemCallError("mmap", on: "pages", errno: .current) }
        for offset in stride(from: 0, to: bytes, by: 4096) {
            pages.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
        }
        pause()
    }

    private static let claims: JSON = [
        "iss": "shop", "aud": "node-1", "iat": 1_000_000_000, "exp": 1_000_000_030,
        "jti": "0f8fad5bd9cb469fa16570867728950e", "op": "inject", "fault": "network-latency",
        "target": ["pod": ["namespace": "shop", "name": "cart-7d4b9c6f5-x2x7q", "container": "cart"]],
        "parameters": ["latency": "100ms", "jitter": "10ms"], "duration": "60s",
        "reason": "checkout during a slow cart",
    ]

    private func verify(_ algorithm: SignatureAlgorithm, _ stopwatch: Stopwatch, in directory: String) async throws {
        let key = try PrivateKey(generating: algorithm, id: "bench")
        let path = "\(directory)/shop.jwks.json"
        guard let file = fopen(path, "w") else { throw SystemCallError("fopen", on: path, errno: .current) }
        fputs((["keys": [key.publicKey.jwk]] as JSON).text, file)
        fclose(file)
        let keys = KeyDirectory(watching: directory).keys
        let token = try CompactJWS.token(signing: Self.claims, with: key)
        let verifier = RequestVerifier(node: "node-1")
        try await stopwatch.measure(rawValue) {
            let envelope = try SignedEnvelope(token: token)
            _ = try verifier.verify(envelope, with: keys, for: .inject, on: nil, now: 1_000_000_001)
        }
    }

    private func append(_ stopwatch: Stopwatch, in directory: String) async throws {
        let journal = try Journal.open(in: directory).journal
        guard let tenant = Tenant("shop") else { fatalError("no tenant") }
        let taken = TakenToken(tenant: tenant, tokenID: "0f8fad5bd9cb469fa16570867728950e", expires: 1, scope: nil)
        let length = try await journal.commit([.tokenTaken(taken)])
        let line = try await journal.commit([.tokenTaken(taken)]) - length
        let bytes = [UInt8](repeating: 0x78, count: line)
        let path = "\(directory)/bare"
        let file = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SystemCallError("open", on: path, errno: .current) }
        defer { close(file) }
        var bare: [Int64] = []
        try await stopwatch.measure(rawValue) {
            try await journal.commit([.tokenTaken(taken)])
        }
        for _ in 0..<stopwatch.count {
            let start = BootInstant.now
            guard write(file, bytes, line) == line, fdatasync(file) == 0 else {
                throw SystemCallError("fdatasync", on: path, errno: .current)
            }
            bare.append(BootInstant.now.nanoseconds - start.nanoseconds)
        }
        stopwatch.tell("fdatasync", bare)
    }
}

extension NamespaceThread {
    fileprivate func socket(in namespace: borrowing NamespaceHandle) throws -> NetlinkSocket {
        var socket: NetlinkSocket?
        try run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in socket = try NetlinkSocket() }
        guard let socket else { fatalError("no socket") }
        return socket
    }
}
