import ChaosModel
import Testing

struct QuantityTests {
    @Test(
        arguments: [
            ("500ms", .milliseconds(500)), ("1.5s", .milliseconds(1500)), ("1m30s", .seconds(90)),
            ("2h", .seconds(7200)),
            ("100us", .microseconds(100)), ("7ns", .nanoseconds(7)), ("0s", .zero),
            ("1h1m1s1ms1us1ns", .nanoseconds(3_661_001_001_001)),
        ] as [(String, Duration)])
    func `reads durations as people write them`(text: String, duration: Duration) {
        #expect(Duration(text: text) == duration)
    }

    @Test(arguments: [
        "", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "5S", "5sec", "1.2.3s", ".s", "1e3s", "5s5", "1001h",
        "99999999999999999999s", "٣s", "5d", "inf", "nans", "0x5s",
    ])
    func `refuses what is no duration`(text: String) {
        #expect(Duration(text: text) == nil)
    }

    @Test(
        arguments: [
            ("-1h", .seconds(-3600)), ("+90s", .seconds(90)), ("90s", .seconds(90)), ("-8760h", .seconds(-8760 * 3600)),
            ("--1h", nil), ("-", nil), ("- 1h", nil), ("-1", nil), ("100001h", nil),
        ] as [(String, Duration?)])
    func `reads a length of time with a sign`(text: String, duration: Duration?) {
        #expect(Duration(signedText: text) == duration)
    }

    @Test func `writes durations that are read back as the same`() {
        for exponent in 0..<15 {
            for factor in [1, 3, 999] as [Int64] {
                var nanoseconds = factor
                for _ in 0..<exponent { nanoseconds *= 7 }
                guard nanoseconds <= 3_600_000_000_000_000 else { continue }
                let duration = Duration.nanoseconds(nanoseconds)
                #expect(Duration(text: duration.text) == duration, "\(duration.text)")
            }
        }
        #expect(Duration.zero.text == "0s")
        #expect(Duration.seconds(90).text == "1m30s")
    }

    @Test(arguments: [-0.1, 100.1, .infinity, -.infinity, .nan] as [Double])
    func `refuses shares that are none`(value: Double) {
        #expect(Percentage(value) == nil)
    }

    @Test(arguments: [(0, "0%"), (100, "100%"), (12.5, "12.5%")] as [(Double, String)])
    func `writes shares with their sign`(value: Double, text: String) {
        #expect(Percentage(value)?.description == text)
    }
}

struct IdentifierTests {
    @Test func `reads back the identifiers that it draws, and draws others each time`() {
        let drawn = (0..<1000).map { _ in SessionID.random() }
        #expect(drawn.allSatisfy { SessionID($0.text) == $0 })
        #expect(Set(drawn).count == 1000)
    }

    @Test(arguments: [
        "", "s-", "s-0123456789abcde", "s-0123456789abcdef0", "s-0123456789ABCDEF", "x-0123456789abcdef",
        "s-0123456789abcde/", "s-0123456789abcd\u{E9}", " s-0123456789abcdef",
    ])
    func `refuses identifiers that it cannot have drawn`(text: String) {
        #expect(SessionID(text) == nil)
    }

    @Test(arguments: ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "..", "\u{E9}", String(repeating: "a", count: 64)])
    func `refuses names that are no tenant's`(name: String) {
        #expect(Tenant(name) == nil)
    }

    @Test(arguments: ["a", "acme", "team-7", "0", String(repeating: "a", count: 63)])
    func `takes names as Kubernetes has them`(name: String) {
        #expect(Tenant(name)?.name == name)
    }
}

struct TargetSelectorTests {
    private static let id = String(repeating: "0123456789abcdef", count: 4)

    @Test(
        arguments: [
            .container(id), .process(id: 42, startTime: 123456), .cgroup("/kubepods/burstable/pod1"),
            .pod(PodSelector(namespace: "shop", name: "web-0")),
            .pod(PodSelector(namespace: "shop", uid: "0-1", labels: ["app": "web", "a.b/c": ""], container: "app")),
        ] as [TargetSelector])
    func `reads back what it writes`(selector: TargetSelector) throws {
        #expect(try TargetSelector(JSON(parsing: selector.json.text)) == selector)
    }

    @Test(arguments: ["shop-db", "db", "shop_web-1.a", "4f6b1c2d3e4", "container-of-mine"])
    func `takes a container's name`(name: String) throws {
        let selector = try TargetSelector(["container": .string(name)])
        #expect(selector == .containerNamed(try #require(ContainerName(name))))
        #expect(selector.targetClass == .standalone(name))
        #expect(try TargetSelector(selector.json) == selector)
    }

    @Test(arguments: ["a", "-a", ".a", "a/b", "a b", "4f6b1c2d3e4f", "\u{E9}a", String(repeating: "a-", count: 65)])
    func `refuses what no container is called, or may be an identifier`(name: String) {
        #expect(ContainerName(name) == nil)
    }

    @Test func `a container that is no pod's is told as such, and read back`() throws {
        let facts = TargetFacts(
            container: TargetFacts.Container(id: Self.id, standaloneNamed: "shop-db"), process: nil, network: nil,
            cgroup: TargetFacts.Cgroup(path: "/system.slice/docker-\(Self.id).scope", id: 7))
        #expect(facts.json["container"] == ["id": .string(Self.id), "name": "shop-db"])
        #expect(TargetFacts(facts.json) == facts)
        #expect((facts.summary, facts.targetClass) == ("container shop-db", .standalone("shop-db")))
    }

    @Test func `takes a container's identifier as Kubernetes writes it`() throws {
        #expect(try TargetSelector(["container": .string("containerd://\(Self.id)")]) == .container(Self.id))
    }

    @Test(
        arguments: [
            ("[]", .fieldInvalid, "target"), ("{}", .fieldInvalid, "target"),
            (#"{"container":"0123456789ab","cgroup":"/a"}"#, .fieldInvalid, "target"),
            (#"{"node":"n1"}"#, .fieldUnknown, "target.node"),
            (#"{"container":"*"}"#, .fieldInvalid, "target.container"),
            (#"{"container":"../../../../etc"}"#, .fieldInvalid, "target.container"),
            (#"{"process":{"pid":1,"startTime":5}}"#, .fieldInvalid, "target.process.pid"),
            (#"{"process":{"pid":4294967338,"startTime":5}}"#, .fieldInvalid, "target.process.pid"),
            (#"{"process":{"pid":42}}"#, .fieldMissing, "target.process.startTime"),
            (#"{"process":{"pid":42,"startTime":5,"uid":0}}"#, .fieldUnknown, "target.process.uid"),
            (#"{"pod":"web-0"}"#, .fieldInvalid, "target.pod"),
            (#"{"pod":{"name":"web-0"}}"#, .fieldMissing, "target.pod.namespace"),
            (#"{"pod":{"namespace":"shop"}}"#, .fieldMissing, "target.pod"),
            (#"{"pod":{"namespace":"shop","container":"app"}}"#, .fieldMissing, "target.pod"),
            (#"{"pod":{"namespace":"shop","name":"web*"}}"#, .fieldInvalid, "target.pod.name"),
            (#"{"pod":{"namespace":"../shop","name":"web"}}"#, .fieldInvalid, "target.pod.namespace"),
            (#"{"pod":{"namespace":"shop","name":""}}"#, .fieldInvalid, "target.pod.name"),
            (#"{"pod":{"namespace":"shop","labels":{}}}"#, .fieldInvalid, "target.pod.labels"),
            (#"{"pod":{"namespace":"shop","labels":{"app":1}}}"#, .fieldInvalid, "target.pod.labels.app"),
            (#"{"pod":{"namespace":"shop","labels":{"a/b/c":"d"}}}"#, .fieldInvalid, "target.pod.labels.a/b/c"),
            (#"{"pod":{"namespace":"shop","name":"web","node":"n1"}}"#, .fieldUnknown, "target.pod.node"),
            (#"{"cgroup":"/"}"#, .fieldInvalid, "target.cgroup"), (#"{"cgroup":"a"}"#, .fieldInvalid, "target.cgroup"),
            (#"{"cgroup":"/a/../b"}"#, .fieldInvalid, "target.cgroup"),
            (#"{"cgroup":"/a//b"}"#, .fieldInvalid, "target.cgroup"),
            (#"{"cgroup":"/a\u0000b"}"#, .fieldInvalid, "target.cgroup"),
        ] as [(String, ProblemCode, String)])
    func `says which part of a target is wrong`(text: String, code: ProblemCode, field: String) throws {
        let json = try JSON(parsing: text)
        #expect {
            try TargetSelector(json)
        } throws: { error in
            let problem = error as? Problem
            return problem?.code == code && problem?.field == field
        }
    }
}

struct ProblemTests {
    @Test func `is a problem document of RFC 9457 with a stable code`() {
        let session = SessionScope("s-0123456789abcdef")
        #expect(
            Problem(.replayed, "used before", field: "jti", hint: "sign again", about: session).json == [
                "type": "urn:squall:problem:replayed", "title": "replayed", "status": 409, "code": "replayed",
                "detail": "used before", "field": "jti", "hint": "sign again", "session": "s-0123456789abcdef",
            ])
        let group = SessionScope("g-0123456789abcdef")
        #expect(Problem(.replayed, "", about: group).json["group"] == "g-0123456789abcdef")
        #expect(Problem(.replayed, "", about: group).json["session"] == nil)
    }

    @Test func `has a status of failure for every code`() {
        for code in ProblemCode.allCases { #expect((400...599).contains(code.status), "\(code)") }
    }

    @Test(
        arguments: [
            ("1B", 1), ("4096B", 4096), ("1k", 1000), ("1kB", 1000), ("1K", 1000), ("64MiB", 64 << 20),
            ("64Mi", 64 << 20),
            ("500MB", 500_000_000), ("500M", 500_000_000), ("1.5GiB", 3 << 29), ("2Gi", 2 << 30),
            ("1TB", 1_000_000_000_000),
            ("0B", 0), ("1KiB", 1024),
        ] as [(String, Int64)])
    func `reads numbers of bytes as people write them`(text: String, bytes: Int64) {
        #expect(ByteCount(text: text)?.value == bytes)
    }

    @Test(arguments: [
        "", "5", "B", "MiB", "-1MiB", "+1MiB", "1 MiB", "1mib", "1mB", "1kiB", "1ki", "1e3B", "1.2.3MiB", "infB",
        "nanB",
        "99999999999TiB", "8388608TiB", "1MiBB", "1BB", "1PiB",
    ])
    func `refuses what is no number of bytes`(text: String) {
        #expect(ByteCount(text: text) == nil)
    }

    @Test func `writes numbers of bytes that are read back as the same`() {
        for value in [0, 1, 999, 1000, 1024, 4096, 500_000_000, 64 << 20, (64 << 20) + 1, 3 << 29, 1 << 40] as [Int64] {
            #expect(ByteCount(text: ByteCount(value).text)?.value == value)
        }
        #expect(ByteCount(64 << 20).text == "64MiB")
        #expect(ByteCount(500_000_000).text == "500MB")
        #expect("\(ByteCount(3 << 29))" == "1.5 GiB")
    }

    @Test(
        arguments: [
            ("10Mbit", 10_000_000), ("1.5Gbit/s", 1_500_000_000), ("512kbit", 512_000), ("512Kbit", 512_000),
            ("8000bit", 8000), ("100mbit", 100_000_000), ("1bit", 1),
        ] as [(String, Int64)])
    func `reads rates as people write them`(text: String, bits: Int64) {
        #expect(BitRate(text: text)?.bitsPerSecond == bits)
    }

    @Test(arguments: [
        "", "bit", "kbit", "10", "10M", "10Mbps", "10MB", "10MBit", "0bit", "0.1bit", "-1bit", "1 Mbit", "1Mibit",
        "1e3bit", "infbit", "9999999Gbit", "1Mbit/m", "٣bit",
    ])
    func `refuses what is no rate`(text: String) {
        #expect(BitRate(text: text) == nil)
    }

    @Test func `writes rates that are read back as the same`() {
        for bits in [1, 999, 1000, 1001, 8_000_000, 1_234_567, 100_000_000_000] as [Int64] {
            #expect(BitRate(text: BitRate(bits).text) == BitRate(bits))
        }
        #expect(BitRate(1_500_000).text == "1500kbit")
        #expect(BitRate(20_000_000).description == "20Mbit/s")
    }
}
