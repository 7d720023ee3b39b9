import AgentAPI
import AgentClient
import Authorization
import ChaosModel
import Glibc
import LinuxSystem
import Signatures
import Testing

struct TokenSignerTests {
    private static let session = SessionID.random()
    private static let group = GroupID.random()
    private static let injection = TenantRequest.Injection(
        fault: "network-latency", parameters: ["latency": "100ms"], target: .one(.cgroup("/kubepods/pod1")),
        duration: .seconds(90), lease: .seconds(10), reason: "a drill")

    private let key: PrivateKey
    private let keys: TenantKeys
    private let tenant: Tenant

    init() throws {
        key = try PrivateKey(generating: .edDSA)
        tenant = try #require(Tenant("acme"))
        var template = Array("/tmp/squall-keys-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemCallError("mkdtemp", on: "/tmp", errno: .current) }
        let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        defer { rmdir(folder) }
        let file = folder + "/acme.jwks.json"
        try OwnedDescriptor.open(file, O_WRONLY | O_CREAT, mode: 0o600)
            .writeAll((["keys": [key.publicKey.jwk]] as JSON).bytes, subject: file)
        defer { unlink(file) }
        keys = KeyDirectory(watching: folder).keys
    }

    /// The node's side of it.
    private func verify(_ envelope: EnvelopeRequest, node: String = "n1", now: Int64) throws(Problem) -> VerifiedRequest
    {
        try RequestVerifier(node: node).verify(
            SignedEnvelope(token: envelope.token), with: keys, for: envelope.route.operation, on: envelope.scope,
            now: now)
    }

    @Test(
        arguments: [
            .inject(injection), .plan(injection), .list, .read(.session(session)), .events(session),
            .renew(.session(session)), .end(.session(session)), .read(.group(group)), .renew(.group(group)),
            .end(.group(group)),
        ] as [TenantRequest])
    func `signs what the node takes`(request: TenantRequest) throws {
        let envelope = try TokenSigner(key: key, tenant: tenant, node: "n1").envelope(for: request, now: 1000)
        #expect(envelope.route == request.route)
        let verified = try verify(envelope, now: 1000)
        #expect(verified.tenant == tenant)
        #expect(verified.expires == 1030)
        switch (request, verified.demand) {
        case (.inject(let asked), .inject(let read)), (.plan(let asked), .plan(let read)):
            #expect(read.fault == asked.fault)
            #expect(read.parameters == asked.parameters)
            #expect(read.target == asked.target)
            #expect(read.duration == asked.duration)
            #expect(read.lease == asked.lease)
            #expect(read.reason == asked.reason)
        case (.list, .list): break
        case (.events(let asked), .read(let read)): #expect(.session(asked) == read)
        case (.read(let asked), .read(let read)),
            (.renew(let asked), .renew(let read)), (.end(let asked), .end(let read)):
            #expect(asked == read)
        default: Issue.record("\(request) was read as \(verified.demand)")
        }
    }

    @Test func `signs for one node and half a minute`() throws {
        let envelope = try TokenSigner(key: key, tenant: tenant, node: "n1").envelope(for: .list, now: 1000)
        #expect(throws: Problem.self) { try verify(envelope, node: "n2", now: 1000) }
        #expect(throws: Problem.self) { try verify(envelope, now: 1030) }
    }

    @Test func `gives no two tokens the same identifier`() throws {
        let signer = TokenSigner(key: key, tenant: tenant, node: "n1")
        let identifiers = try (0..<100).map { _ in try verify(signer.envelope(for: .list, now: 1000), now: 1000).tokenID
        }
        #expect(Set(identifiers).count == 100)
    }
}
