import Authorization
import ChaosModel
import Signatures
import Testing

struct RequestVerifierTests {
    private let node: TestNode

    init() throws {
        node = try TestNode()
    }

    @Test func `tells who asks for what`() throws {
        let claims = TestNode.injection.with([
            ("parameters", ["latency": "100ms"]), ("duration", "1m"), ("lease", "10s"),
            ("reason", "gr\u{FC}n \u{1F329}"),
            ("sub", "experiment/42"), ("nbf", .integer(TestNode.now)), ("aud", ["n0", "n1"]),
        ])
        for key in [node.acme, node.acmeP256] {
            let request = try node.verify(claims, by: key, for: .inject)
            #expect(request.tenant.name == "acme")
            #expect(request.signer.keyID == key.publicKey.id)
            #expect(request.tokenID == "token-0001")
            #expect(request.subject == "experiment/42")
            #expect(request.issuedAt == TestNode.now)
            #expect(request.expires == TestNode.now + 30)
            guard case .inject(let injection) = request.demand else {
                Issue.record("\(request.demand)")
                return
            }
            #expect(injection.fault == "network-latency")
            #expect(injection.parameters == ["latency": "100ms"])
            #expect(injection.target == .one(.cgroup("/kubepods/pod1")))
            #expect(injection.duration == .seconds(60))
            #expect(injection.lease == .seconds(10))
            #expect(injection.reason == "gr\u{FC}n \u{1F329}")
        }
    }

    @Test func `fills in what an injection leaves out`() throws {
        let request = try node.verify(TestNode.injection.with([("op", "plan")]), for: .plan)
        guard case .plan(let injection) = request.demand else {
            Issue.record("\(request.demand)")
            return
        }
        #expect(injection.parameters == [:])
        #expect(injection.duration == .seconds(30))
        #expect(injection.lease == nil)
        #expect(injection.reason == nil)
    }

    @Test func `reads each demand about a session or a group, and the list`() throws {
        for name in [TestNode.session, TestNode.group] {
            let scope = try #require(SessionScope(name))
            let demands: [(Operation, VerifiedRequest.Demand)] = [
                (.read, .read(scope)), (.renew, .renew(scope)), (.end, .end(scope)),
            ]
            for (operation, demand) in demands {
                let claims = TestNode.read.with([("op", .string(operation.rawValue)), scope.member])
                #expect(try node.verify(claims, for: operation, session: name).demand == demand)
            }
        }
        #expect(try node.verify(TestNode.read).demand == .list)
    }

    // MARK: Whose it is

    @Test func `refuses a key that it does not know`() throws {
        let stranger = try PrivateKey(generating: .edDSA)
        #expect(problem { try node.verify(TestNode.read, by: stranger) }?.code == .keyUnknown)
    }

    @Test(arguments: ["acme-1 ", "ACME-1", "acme-1\u{0}", "../acme-1", "acme-1' OR '1'='1", "acme-\u{FF11}"])
    func `takes a kid for nothing but the name of a key`(kid: String) throws {
        let header = (["alg": "EdDSA", "kid": .string(kid)] as JSON).bytes
        let input = Base64URL.encode(header) + "." + Base64URL.encode(TestNode.read.bytes)
        let token = try input + "." + Base64URL.encode(node.acme.signature(of: Array(input.utf8)))
        let code = problem { try node.verify(text: token) }?.code
        #expect(code == .keyUnknown || code == .tokenMalformed)
    }

    @Test func `refuses the signature of another key under a known name`() throws {
        for algorithm in SignatureAlgorithm.allCases {
            let impostor = try PrivateKey(generating: algorithm, id: algorithm == .edDSA ? "acme-1" : "acme-2")
            #expect(problem { try node.verify(TestNode.read, by: impostor) }?.code == .signatureInvalid)
        }
    }

    @Test func `refuses a key of the other algorithm under a known name`() throws {
        let impostor = try PrivateKey(generating: .es256, id: "acme-1")
        #expect(problem { try node.verify(TestNode.read, by: impostor) }?.code == .algorithmRefused)
    }

    @Test func `refuses a tenant who speaks for another with a key of its own`() {
        let refusal = problem { try node.verify(TestNode.read, by: node.umbrella) }
        #expect(refusal?.code == .issuerMismatch)
        #expect(refusal?.field == "iss")
    }

    @Test func `refuses a token with any bit changed`() throws {
        let token = Array(try CompactJWS.token(signing: TestNode.read, with: node.acme).utf8)
        for index in token.indices {
            for bit in 0..<7 {
                var changed = token
                changed[index] ^= 1 << UInt8(bit)
                #expect(problem { try node.verify(text: String(decoding: changed, as: UTF8.self)) } != nil)
            }
        }
    }

    @Test(
        arguments: [
            (#"{"alg":"none","kid":"acme-1"}"#, .algorithmRefused),
            (#"{"alg":"HS256","kid":"acme-1"}"#, .algorithmRefused),
            (#"{"alg":"EdDSA","kid":"acme-1","jku":"http://x"}"#, .tokenMalformed),
            (#"{"alg":"EdDSA","kid":"acme-1","crit":["exp"]}"#, .tokenMalformed),
            (#"{"alg":"EdDSA"}"#, .tokenMalformed),
        ] as [(String, ProblemCode)])
    func `refuses headers that would change how it is verified`(header: String, code: ProblemCode) throws {
        for signature in [[], try node.acme.signature(of: [])] {
            let token = Base64URL.encode(header.utf8) + ".e30." + Base64URL.encode(signature)
            #expect(problem { try SignedEnvelope(token: token) }?.code == code)
        }
    }

    @Test func `looks at no token that is too long, and at none`() {
        #expect(problem { try SignedEnvelope(token: "") }?.code == .tokenMissing)
        let refusal = problem { try SignedEnvelope(token: String(repeating: "A", count: 16385)) }
        #expect(refusal?.code == .tokenMalformed)
        #expect(refusal?.message.contains("16385") == true)
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{} {}", #"{"iss":"acme","iss":"acme"}"#, #"{"\u0069ss":"umbrella","iss":"acme"}"#,
    ])
    func `refuses a payload that is not one plain object, though it is signed`(payload: String) throws {
        let token = try node.token(payload: payload)
        #expect(problem { try node.verify(text: token) }?.code == .requestMalformed)
    }

    // MARK: For whom and when

    @Test(
        arguments: [
            ("n2", .audienceMismatch), ("", .audienceMismatch), ("N1", .audienceMismatch), ([], .fieldInvalid),
            (1, .fieldInvalid),
            (["n2", "n3"], .audienceMismatch), ([1], .audienceMismatch), (.null, .fieldInvalid),
            (["n1": "n1"], .fieldInvalid),
            (["1", "2", "3", "4", "5", "6", "7", "8", "n1"], .fieldInvalid),
        ] as [(JSON, ProblemCode)])
    func `refuses a token for another node`(audience: JSON, code: ProblemCode) {
        let refusal = problem { try node.verify(TestNode.read.with([("aud", audience)])) }
        #expect(refusal?.code == code)
        #expect(refusal?.field == "aud")
        if code == .audienceMismatch { #expect(refusal?.hint?.contains("\"n1\"") == true) }
    }

    /// Offsets in seconds from now.
    @Test(
        arguments: [
            (0, 30, nil, nil), (-59, 1, nil, nil), (0, 60, nil, nil), (5, 65, nil, nil), (5, 6, 5, nil),
            (-30, 0, nil, .tokenExpired), (-60, -1, nil, .tokenExpired), (-100_000, -99_990, nil, .tokenExpired),
            (6, 30, nil, .tokenNotYetValid), (0, 30, 6, .tokenNotYetValid), (100_000, 100_030, nil, .tokenNotYetValid),
            (0, 61, nil, .tokenLifetimeTooLong), (-30, 31, nil, .tokenLifetimeTooLong),
            (-100_000, 30, nil, .tokenLifetimeTooLong),
            (5, 5, nil, .fieldInvalid), (5, 1, nil, .fieldInvalid),
        ] as [(Int64, Int64, Int64?, ProblemCode?)])
    func `takes tokens only in their minute`(issued: Int64, expires: Int64, notBefore: Int64?, code: ProblemCode?) {
        let claims = TestNode.read.with([
            ("iat", .integer(TestNode.now + issued)), ("exp", .integer(TestNode.now + expires)),
            ("nbf", notBefore.map { .integer(TestNode.now + $0) }),
        ])
        #expect(problem { try node.verify(claims) }?.code == code)
    }

    @Test func `says by how much the clocks differ`() {
        let expired = problem { try node.verify(TestNode.read, now: TestNode.now + 42) }
        #expect(expired?.message == "the token expired 12 s ago")
        let early = problem { try node.verify(TestNode.read, now: TestNode.now - 20) }
        #expect(early?.message == "the token becomes valid in 20 s")
        #expect(early?.hint?.contains("ahead") == true)
    }

    @Test(
        arguments: ["iat", "exp", "nbf"],
        ["1800000000", 1800000000.5, .null, -1, .integer(.max), .integer(.min), [], true] as [JSON])
    func `refuses instants that are none`(name: String, value: JSON) {
        let refusal = problem { try node.verify(TestNode.read.with([(name, value)])) }
        #expect(refusal?.code == .fieldInvalid)
        #expect(refusal?.field == name)
    }

    // MARK: For what

    @Test func `refuses a token for another operation`() {
        for asked in Operation.allCases {
            for signed in Operation.allCases where signed != asked {
                let session = asked == .inject || asked == .plan ? nil : TestNode.session
                let claims = TestNode.injection.with([
                    ("op", .string(signed.rawValue)), ("session", session.map(JSON.string)),
                ])
                let refusal = problem { try node.verify(claims, for: asked, session: session) }
                #expect(refusal?.code == .operationMismatch)
                #expect(refusal?.field == "op")
            }
        }
    }

    @Test func `refuses a token for another session, and for the list where one session is meant`() {
        let other = TestNode.read.with([("session", "s-fedcba9876543210")])
        #expect(problem { try node.verify(other, session: TestNode.session) }?.code == .operationMismatch)
        #expect(problem { try node.verify(TestNode.read, session: TestNode.session) }?.code == .fieldMissing)
        #expect(problem { try node.verify(other) }?.code == .fieldUnknown)
        // Nor is a session named where a group is meant, or the other way round.
        let session = TestNode.read.with([("session", .string(TestNode.session))])
        #expect(problem { try node.verify(session, session: TestNode.group) }?.code == .fieldMissing)
        let group = TestNode.read.with([("group", .string(TestNode.group))])
        #expect(problem { try node.verify(group, session: TestNode.session) }?.code == .fieldMissing)
        let both = group.with([("session", .string(TestNode.session))])
        #expect(problem { try node.verify(both, session: TestNode.group) }?.code == .fieldUnknown)
    }

    @Test(arguments: ["iss", "aud", "iat", "exp", "jti", "op", "fault", "target"])
    func `says which claim is missing`(name: String) {
        let refusal = problem { try node.verify(TestNode.injection.with([(name, nil)]), for: .inject) }
        #expect(refusal?.code == .fieldMissing)
        #expect(refusal?.field == name)
    }

    @Test(arguments: ["session", "scope", "Iss", "admin", "", "dur\u{AD}ation", "fault\u{0}"])
    func `refuses a claim that it does not know, by name`(name: String) {
        let refusal = problem { try node.verify(TestNode.injection.with([(name, "x")]), for: .inject) }
        #expect(refusal?.code == .fieldUnknown)
        #expect(refusal?.field == name)
    }

    @Test(arguments: ["fault", "target", "parameters", "duration", "lease", "reason"])
    func `refuses claims of an injection in a token that is for none`(name: String) {
        let refusal = problem { try node.verify(TestNode.read.with([(name, "x")])) }
        #expect(refusal?.code == .fieldUnknown)
        #expect(refusal?.field == name)
    }

    @Test(
        arguments: [
            ("jti", "short-7"), ("jti", .string(String(repeating: "x", count: 129))), ("jti", "with blank"),
            ("jti", "\u{212A}elvin-sign"),
            ("jti", 12345678), ("iss", 7), ("op", 7), ("sub", 7), ("sub", "a\nb"),
            ("fault", ""), ("fault", 7), ("fault", "a b"), ("fault", .string(String(repeating: "f", count: 65))),
            ("parameters", []), ("parameters", .null), ("parameters", "latency=1"),
            ("duration", 30), ("duration", "30"), ("duration", "99ms"), ("duration", "2h1ms"), ("duration", "0s"),
            ("duration", .null),
            ("lease", "999ms"), ("lease", "31s"), ("lease", "-5s"), ("lease", .null),
            ("reason", "a\u{1B}[31m"), ("reason", "a\u{2028}b"), ("reason", "\u{202E}evil"), ("reason", "\u{7F}"),
            ("reason", .string(String(repeating: "r", count: 257))), ("reason", .null), ("target", .null),
            ("target", "all"),
        ] as [(String, JSON)])
    func `refuses claims that are out of bounds`(name: String, value: JSON) {
        let refusal = problem { try node.verify(TestNode.injection.with([(name, value)]), for: .inject) }
        #expect(refusal?.code == .fieldInvalid)
        #expect(refusal?.field == name)
    }

    @Test func `says which part of the target is wrong`() {
        let refusal = problem {
            try node.verify(TestNode.injection.with([("target", ["cgroup": "/.."])]), for: .inject)
        }
        #expect(refusal?.field == "target.cgroup")
    }

    @Test(arguments: [("100ms", nil), ("2h", "2h"), ("1s", "1s"), ("1m30s", "1.5s")] as [(String, String?)])
    func `takes durations and leases within their bounds`(duration: String, lease: String?) throws {
        let claims = TestNode.injection.with([("duration", .string(duration)), ("lease", lease.map(JSON.string))])
        #expect(problem { try node.verify(claims, for: .inject) } == nil)
    }
}
