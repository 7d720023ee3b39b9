import Authorization
import ChaosModel
import Signatures
import Testing

/// Requests to a node whose wall clock a session has set.
struct WrongClockTests {
    private let node: TestNode
    private let now = TestNode.now
    private let scope = SessionScope.session(.random())

    init() throws { node = try TestNode() }

    /// - Parameters:
    ///   - ahead: Of the signer's clock.
    ///   - lead: Of the node's.
    private func verified(
        _ operation: Operation, signedAheadBy ahead: Int64 = 0, lead: Int64, for rest: Int64? = nil,
        at now: Int64? = nil,
        id: String = "token-0001"
    ) throws -> VerifiedRequest {
        let isAbout = operation != .inject
        let base = isAbout ? TestNode.read.with([("session", .string(TestNode.session))]) : TestNode.injection
        let issued = self.now + ahead
        let claims = base.with([
            ("op", .string(operation.rawValue)), ("iat", .integer(issued)), ("exp", .integer(issued + 30)),
            ("jti", .string(id)),
        ])
        return try node.verifier.verify(
            SignedEnvelope(token: CompactJWS.token(signing: claims, with: node.acme)), with: node.keys, for: operation,
            on: isAbout ? SessionScope(TestNode.session) : nil, now: now ?? self.now, wrongClockAheadBy: lead, for: rest
        )
    }

    @Test(arguments: [3600, -3600, 31_536_000] as [Int64])
    func `what is about a session is taken by either clock, and what begins one by the right one`(lead: Int64) throws {
        for operation in [Operation.read, .renew, .end] {
            #expect(try verified(operation, lead: lead).expires == now + 30)
            // By the right time it is as fresh as any other.
            #expect(try verified(operation, signedAheadBy: lead, lead: lead).expires == now + 30)
            #expect(problem { try verified(operation, signedAheadBy: lead + 120, lead: lead) } != nil)
        }
        #expect(try verified(.inject, lead: lead).expires == now + 30)
        let refusal = problem { try verified(.inject, signedAheadBy: lead, lead: lead) }
        #expect(refusal?.code == (lead > 0 ? .tokenNotYetValid : .tokenExpired))
        #expect(refusal?.hint?.contains("set this node's clock \(abs(lead)) s") == true)
    }

    @Test(arguments: [3600, -3600] as [Int64], [true, false])
    func `a token is used once, whichever clock it would be new by`(lead: Int64, isSignerWrong: Bool) throws {
        var store = ReplayStore()
        let signed = isSignerWrong ? lead : 0
        _ = try store.take(verified(.renew, signedAheadBy: signed, lead: lead), for: scope, now: now)
        // For as long as either clock takes it for a new one, at whatever time that is.
        var accepted = 0
        for later in stride(from: Int64(0), through: 2 * 3600, by: 10) {
            guard let again = try? verified(.renew, signedAheadBy: signed, lead: lead, at: now + later) else {
                continue
            }
            accepted += 1
            #expect(
                problem { try store.take(again, for: scope, now: now + later) }?.code == .replayed, "\(later) s later")
        }
        #expect(accepted >= 3)
    }

    @Test func `what was used is forgotten when the session that it is about must be over`() throws {
        let year: Int64 = 31_536_000
        let request = try verified(.renew, signedAheadBy: year, lead: year)
        #expect(request.rememberedUntil - now <= 2 * 3600 + 120)
        #expect(try verified(.inject, lead: year).rememberedUntil == now + 30)
    }

    @Test func `many who read, renew and end while the clock is set back lock nobody out`() throws {
        var store = ReplayStore(capacity: 100, capacityOfTenant: 100)
        // Three a second for five minutes, of which the clock is wrong for one.
        for second in Int64(0)..<300 {
            let rest = max(0, 60 - second)
            for operation in [Operation.read, .end] {
                let ahead = second
                let request = try verified(
                    operation, signedAheadBy: ahead, lead: -3600, for: rest, at: now + second,
                    id: "token-\(operation)-\(second)")
                #expect(request.rememberedUntil == now + second + 30)
                _ = try store.take(request, for: scope, now: now + second)
            }
        }
        let renewal = try verified(.renew, lead: -3600, for: 60, id: "token-renew")
        #expect(renewal.rememberedUntil - now <= 60 + 120)
    }

    @Test func `a clock that was set ahead and back again refuses nothing`() throws {
        var store = ReplayStore()
        _ = try store.take(verified(.read, signedAheadBy: 3600, lead: 3600, id: "token-0001"), for: scope, now: now)
        let claims = TestNode.read.with([("jti", "token-0002")])
        #expect(try store.take(node.verify(claims), for: nil, now: now + 1).token.tokenID == "token-0002")
    }
}
