import Authorization
import ChaosModel
import LinuxSystem
import Testing

struct RequestRatesTests {
    private let node: TestNode
    private let start = BootInstant(nanoseconds: 1_000_000_000_000)

    init() throws {
        node = try TestNode()
    }

    private func read(by tenant: String = "acme") throws -> VerifiedRequest {
        try node.verify(
            TestNode.read.with([("iss", .string(tenant))]), by: tenant == "acme" ? node.acme : node.umbrella)
    }

    private func taken(
        _ rates: inout RequestRates, _ request: VerifiedRequest, perSecond: Int = 5, after time: Duration
    ) -> Int {
        var count = 0
        while count < 1000, problem({ try rates.take(request, perSecond: perSecond, at: start + time) }) == nil {
            count += 1
        }
        return count
    }

    @Test func `ten seconds' worth comes at once, and then so many a second`() throws {
        var rates = RequestRates()
        let request = try read()
        #expect(taken(&rates, request, after: .zero) == 50)
        #expect(taken(&rates, request, after: .milliseconds(100)) == 0)
        #expect(taken(&rates, request, after: .milliseconds(500)) == 2)
        #expect(taken(&rates, request, after: .seconds(2)) == 8)
        #expect(taken(&rates, request, after: .seconds(3600)) == 50)
        #expect(problem { try rates.take(request, perSecond: 5, at: start + .seconds(3600)) }?.code == .rateExceeded)
    }

    @Test func `one tenant's are no other's`() throws {
        var rates = RequestRates()
        #expect(taken(&rates, try read(), after: .zero) == 50)
        #expect(taken(&rates, try read(by: "umbrella"), after: .zero) == 50)
    }

    @Test func `to end a session is never refused`() throws {
        var rates = RequestRates()
        _ = taken(&rates, try read(), after: .zero)
        let claims = TestNode.read.with([("op", "end"), ("session", .string(TestNode.session))])
        let end = try node.verify(claims, for: .end, session: TestNode.session)
        #expect(taken(&rates, end, after: .zero) == 1000)
    }
}
