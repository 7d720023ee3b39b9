import Authorization
import ChaosModel
import Testing

struct ReplayStoreTests {
    private let node: TestNode
    private let session = SessionScope.session(.random())
    private let now = TestNode.now

    init() throws {
        node = try TestNode()
    }

    private func request(_ id: String = "token-0001", by tenant: String = "acme", life: Int64 = 30) throws
        -> VerifiedRequest
    {
        try node.verify(
            TestNode.read.with([("jti", .string(id)), ("iss", .string(tenant)), ("exp", .integer(now + life))]),
            by: tenant == "acme" ? node.acme : node.umbrella)
    }

    @Test func `takes a token once, and then names the session it was for`() throws {
        var store = ReplayStore()
        let taken = try store.take(request(), for: session, now: now)
        #expect(
            taken.token
                == TakenToken(tenant: taken.request.tenant, tokenID: "token-0001", expires: now + 30, scope: session))
        for later in [0, 1, 29] as [Int64] {
            let refusal = problem { try store.take(request(), for: .group(.random()), now: now + later) }
            #expect(refusal?.code == .replayed)
            #expect(refusal?.scope == session)
        }
    }

    @Test func `keeps the tokens of tenants apart`() throws {
        var store = ReplayStore()
        _ = try store.take(request(by: "acme"), for: session, now: now)
        _ = try store.take(request(by: "umbrella"), for: session, now: now)
        #expect(store.count == 2)
    }

    @Test func `forgets a token when it has expired, and then refuses it as expired`() throws {
        var store = ReplayStore()
        _ = try store.take(request(), for: session, now: now)
        _ = try store.take(request("token-0002", life: 50), for: nil, now: now + 30)
        #expect(store.count == 1)
        #expect(problem { try store.take(request(), for: nil, now: now + 30) }?.code == .tokenExpired)
    }

    @Test func `never refuses to end a session for being full`() throws {
        var store = ReplayStore(capacity: 1)
        _ = try store.take(request(), for: session, now: now)
        let claims = TestNode.read.with([
            ("jti", "token-0002"), ("op", "end"), ("session", .string(TestNode.session)),
        ])
        let end = try node.verify(claims, for: .end, session: TestNode.session)
        #expect(try store.take(end, for: session, now: now).token.tokenID == "token-0002")
        #expect(store.count == 1)
    }

    @Test func `refuses when it is full, until what is alive has expired`() throws {
        var store = ReplayStore(capacity: 2)
        _ = try store.take(request("token-0001", life: 10), for: session, now: now)
        _ = try store.take(request("token-0002", life: 20), for: session, now: now)
        let refusal = problem { try store.take(request("token-0003"), for: session, now: now + 1) }
        #expect(refusal?.code == .replayStoreFull)
        #expect(refusal?.hint?.contains("9 s") == true)
        // A replay is told from a newcomer also then.
        #expect(problem { try store.take(request("token-0001", life: 10), for: nil, now: now + 1) }?.code == .replayed)
        _ = try store.take(request("token-0003"), for: session, now: now + 10)
        #expect(problem { try store.take(request("token-0002", life: 20), for: nil, now: now + 10) }?.code == .replayed)
    }

    @Test func `one tenant does not fill it for others`() throws {
        var store = ReplayStore(capacity: 10, capacityOfTenant: 2)
        for number in 1...2 { _ = try store.take(request("token-000\(number)", life: 10), for: nil, now: now) }
        let refusal = problem { try store.take(request("token-0003"), for: nil, now: now) }
        #expect(refusal?.code == .replayStoreFull && refusal?.message.contains("2 tokens of tenant acme") == true)
        _ = try store.take(request("token-0003", by: "umbrella"), for: nil, now: now)
        _ = try store.take(request("token-0003"), for: nil, now: now + 10)
        #expect(store.count == 2)
    }

    @Test func `refuses what had expired before the clock was set back`() throws {
        var store = ReplayStore()
        _ = try store.take(request(), for: session, now: now)
        _ = try store.take(request("token-0002", life: 60), for: session, now: now + 31)
        let refusal = problem { try store.take(request(), for: nil, now: now) }
        #expect(refusal?.code == .tokenExpired)
        #expect(refusal?.message.contains("set back by 31 s") == true)
        #expect(problem { try store.requireFreshness(of: request(), now: now) }?.code == .tokenExpired)
        #expect(problem { try store.requireFreshness(of: request("token-0003", life: 60), now: now) } == nil)
        #expect(store.highWater == now + 31)
    }

    @Test func `knows after a restart what the journal knows`() throws {
        var before = ReplayStore()
        let taken = try [request("token-0001", life: 10), request("token-0002")].map {
            try before.take($0, for: session, now: now).token
        }
        var after = ReplayStore(capacity: 1, highWater: now + 15, taken: taken + taken)
        #expect(after.count == 1)
        #expect(problem { try after.take(request("token-0002"), for: nil, now: now) }?.scope == session)
        #expect(problem { try after.take(request("token-0001", life: 10), for: nil, now: now) }?.code == .tokenExpired)
        #expect(problem { try after.take(request("token-0003"), for: nil, now: now) }?.code == .replayStoreFull)
    }

    @Test func `keeps what it was told, also beyond its capacity`() throws {
        let tenant = try #require(Tenant("acme"))
        let taken = (0..<5).map { TakenToken(tenant: tenant, tokenID: "token-\($0)", expires: now + 9, scope: nil) }
        #expect(ReplayStore(capacity: 2, highWater: now, taken: taken).count == 5)
    }
}
