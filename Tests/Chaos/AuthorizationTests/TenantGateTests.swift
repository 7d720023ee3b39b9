import Authorization
import ChaosModel
import Faults
import Testing

struct TenantGateTests {
    private static let tenant = Tenant("shop")
    private static let parameters: [Parameter] = FaultCatalogue.parameters["cpu-stress"] ?? []

    private func gate(_ text: String) throws -> TenantGate {
        let text = "version: 1\n\(text)"
        let policy = try Policy(yaml: Array(text.utf8), faults: FaultCatalogue.parameters)
        return try policy.gate(for: try #require(Self.tenant))
    }

    /// What a gate says to 10 s of cpu-stress.
    private func code(_ text: String, load: JSON = 50, on target: TargetClass = .container) throws -> ProblemCode? {
        let gate = try gate(text)
        do throws(Problem) {
            try gate.authorize(
                fault: "cpu-stress", for: .seconds(10), parameters: ["load": load, "base": "cores", "workers": 1024],
                of: Self.parameters, on: target)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `a tenant that the policy does not name may do nothing`() throws {
        let tenant = try #require(Self.tenant)
        let problem = #expect(throws: Problem.self) { try Policy().gate(for: tenant) }
        #expect(problem?.code == .tenantUnknown)
    }

    @Test func `what may be asked for`() throws {
        #expect(try code("tenants: {shop: {faults: [\"cpu-*\"]}}") == nil)
        #expect(try code("tenants: {shop: {faults: [\"network-*\"]}}") == .faultDenied)
        #expect(try code("tenants: {shop: {faults: []}}") == .faultDenied)
        #expect(try code("tenants: {shop: {faults: [\"*\"], duration: 10s}}") == nil)
        #expect(try code("tenants: {shop: {faults: [\"*\"], duration: 9s}}") == .durationDenied)
        // The node's own bound is every tenant's.
        #expect(
            try code("guardrails: {duration: 9s}\ntenants: {shop: {faults: [\"*\"], duration: 1h}}") == .durationDenied)
        #expect(try code("tenants: {shop: {faults: [\"*\"], intensity: {cpu-stress: {load: 50}}}}") == nil)
        #expect(
            try code("tenants: {shop: {faults: [\"*\"], intensity: {cpu-stress: {load: 49.9}}}}") == .intensityDenied)
        #expect(
            try code("tenants: {shop: {faults: [\"*\"], intensity: {cpu-stress: {load: {min: 51}}}}}")
                == .intensityDenied)
        #expect(try code("tenants: {shop: {faults: [\"*\"], intensity: {memory-stress: {percent: 10}}}}") == nil)
        let words = { (words: String) in "tenants: {shop: {faults: [\"*\"], intensity: {cpu-stress: {base: \(words)}}}}"
        }
        #expect(try code(words("[quota, cores]")) == nil)
        #expect(try code(words("[quota]")) == .intensityDenied)
    }

    @Test func `the node itself is hit where guardrails and grant both say so`() throws {
        for (guardrails, grant, parts, whole) in [
            ("allowed", "allowed", true, false), ("allowed", "refused", false, false),
            ("refused", "allowed", false, false), ("whole", "allowed", true, false), ("allowed", "whole", true, false),
            ("whole", "whole", true, true), ("refused", "whole", false, false),
        ] {
            let text = "guardrails: {host: \(guardrails)}\ntenants: {shop: {faults: [\"*\"], host: \(grant)}}"
            #expect(try code(text, on: .partOfHost) == (parts ? nil : .targetProtected))
            #expect(try code(text, on: .host) == (whole ? nil : .targetProtected))
            #expect(try code(text) == nil)
        }
    }

    @Test func `a network that others are in is hit by those alone who may hit those, too`() throws {
        let (unit, container, pod, guarded) = (
            "/system.slice/web.service", "/system.slice/docker-\(String(repeating: "0a", count: 32)).scope",
            "/kubepods.slice/pod1/c1", "/system.slice/ssh.service"
        )
        let all = [unit, container, pod, guarded]
        for (guardrails, grant, allowed) in [
            ("whole", "host: whole", all), ("whole", "host: allowed", [unit]), ("allowed", "host: whole", [unit]),
            ("refused", "host: whole", []), ("whole", "containerNames: [\"*\"]", []), ("whole", "units: [\"*\"]", []),
        ] {
            let gate = try gate("guardrails: {host: \(guardrails)}\ntenants: {shop: {faults: [\"*\"], \(grant)}}")
            #expect(problem { try gate.admit(inNetworkWith: []) } == nil)
            for stranger in all {
                let refusal = problem { try gate.admit(inNetworkWith: [stranger]) }
                #expect(refusal?.code == (allowed.contains(stranger) ? nil : .targetProtected), "\(stranger), \(grant)")
            }
            if allowed == all { continue }
            let several = problem { try gate.admit(inNetworkWith: [pod, container, guarded]) }
            #expect(
                several?.message == "the target's network namespace is shared with cgroup \(pod) and 2 more", "\(grant)"
            )
        }
    }

    @Test func `nobody takes the host down unless the guardrails let somebody`() throws {
        let tenants = "tenants: {shop: {faults: [\"*\"], host: whole}}"
        for (guardrails, isAllowed) in [
            ("host: whole", false), ("host: whole, power: refused", false), ("host: whole, power: allowed", true),
        ] {
            let gate = try gate("guardrails: {\(guardrails)}\n\(tenants)")
            #expect((problem { try gate.admitPower() } == nil) == isAllowed)
        }
    }

    @Test func `what is for hosts is allowed where somebody may hit the whole host`() throws {
        for (guardrails, grant, isAllowed) in [
            ("whole", "whole", true), ("allowed", "whole", false), ("whole", "allowed", false),
        ] {
            let text =
                "version: 1\nguardrails: {host: \(guardrails)}\ntenants: {shop: {faults: [\"*\"], host: \(grant)}}"
            let policy = try Policy(yaml: Array(text.utf8), faults: FaultCatalogue.parameters)
            #expect(policy.allows("clock-skew", isOfHost: true) == isAllowed)
            #expect(policy.allows("cpu-stress", isOfHost: false))
        }
    }

    @Test func `a tenant owns units as it owns namespaces`() throws {
        let own = "{faults: [\"*\"], units: [\"nginx*\", \"ssh.service\"]}"
        let allowed = "guardrails: {host: allowed}\ntenants: {shop: \(own)}"
        let unit = { (name: String) in TargetClass.unit(try #require(UnitName(name))) }
        #expect(try code(allowed, on: unit("nginx")) == nil)
        #expect(try code(allowed, on: unit("nginx@two.service")) == nil)
        #expect(try code(allowed, on: unit("redis.service")) == .targetProtected)
        #expect(try code(allowed, on: .partOfHost) == .targetProtected)
        // Without it nobody could reach the node any more.
        #expect(try code(allowed, on: unit("ssh.service")) == .targetProtected)
        let host = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], units: [\"*\"]}}"
        for name in ["user@1000.service", "session-1.scope", "NetworkManager.service", "squalld", "systemd-journald"] {
            #expect(try code(host, on: unit(name)) == .targetProtected, "\(name)")
        }
        #expect(Guardrails().protectedUnits.count == Guardrails.standardProtectedUnits.count)
        #expect(try code("tenants: {shop: \(own)}", on: unit("nginx")) == .targetProtected)
        let all = "tenants: {shop: {faults: [\"*\"], host: allowed}}"
        #expect(try code("guardrails: {host: allowed}\n\(all)", on: unit("redis.service")) == nil)
        let none = "guardrails: {host: allowed, protectedUnits: []}\ntenants: {shop: \(own)}"
        #expect(try code(none, on: unit("ssh.service")) == nil)
    }

    @Test func `a tenant owns containers that are no pod's by their names`() throws {
        let own = "{faults: [\"*\"], namespaces: [\"*\"], containerNames: [\"shop-*\", Web_1.a]}"
        let allowed = "guardrails: {host: allowed}\ntenants: {shop: \(own)}"
        let host = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], host: allowed}}"
        for (name, text, isAllowed) in [
            ("shop-db", allowed, true), ("Web_1.a", allowed, true), ("bank-db", allowed, false), ("", allowed, false),
            ("shop-db", "tenants: {shop: \(own)}", false), ("bank-db", host, true), ("shop-db", all, false),
            ("shop-db", "guardrails: {host: allowed}\n\(all)", false),
        ] {
            let expected: ProblemCode? = isAllowed ? nil : .targetProtected
            #expect(try code(text, on: .standalone(name)) == expected, "\(name) \(text)")
            let facts = TargetFacts(
                container: TargetFacts.Container(id: "c1", standaloneNamed: name), process: nil, network: nil,
                cgroup: TargetFacts.Cgroup(path: "/system.slice/docker-c1.scope", id: 1))
            let standing = TargetStanding(facts: facts, annotations: [:], isOnHostNetwork: true)
            #expect(try admission(standing, text) == expected, "\(name) \(text)")
        }
    }

    @Test func `who names a container by its identifier is not told its name`() throws {
        let facts = TargetFacts(
            container: TargetFacts.Container(id: "c1", standaloneNamed: "bank-db"), process: nil, network: nil,
            cgroup: TargetFacts.Cgroup(path: "/system.slice/docker-c1.scope", id: 1))
        let gate = try gate("guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], containerNames: [shop]}}")
        let found = try #require(
            problem { try gate.admit(TargetStanding(facts: facts, annotations: [:], isOnHostNetwork: false)) })
        #expect(found.message == "the container is none of tenant shop's")
        #expect(!"\(found)".contains("bank"))
    }

    @Test func `of whom no container can be, nobody is asked for one`() throws {
        for (guardrails, grant, expected) in [
            ("{}", "namespaces: [shop]", nil), ("{}", "containerNames: [shop]", .namespaceDenied),
            ("{}", "host: allowed", .namespaceDenied), ("{host: allowed}", "units: [nginx]", .targetProtected),
            ("{host: allowed}", "containerNames: [shop]", nil), ("{host: allowed}", "host: allowed", nil),
            ("{host: allowed}", "namespaces: [shop]", nil),
        ] as [(String, String, ProblemCode?)] {
            let gate = try gate("guardrails: \(guardrails)\ntenants: {shop: {faults: [\"*\"], \(grant)}}")
            #expect(problem { try gate.admitIdentified() }?.code == expected, "\(guardrails) \(grant)")
        }
    }

    @Test func `Docker's socket takes no pod's container out of its namespace`() throws {
        let own = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], containerNames: [shop-db]}}"
        let id = String(repeating: "0123456789abcdef", count: 4)
        for (path, isAllowed) in [
            ("/system.slice/docker-\(id).scope", true), ("/docker/\(id)", true),
            ("/machine.slice/libpod-\(id).scope/container", true), ("/kubepods/burstable/pod1/\(id)", false),
            ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-\(id).scope", false),
        ] {
            let facts = TargetFacts(
                container: TargetFacts.Container(id: id, standaloneNamed: "shop-db"), process: nil, network: nil,
                cgroup: TargetFacts.Cgroup(path: path, id: 1))
            let standing = TargetStanding(facts: facts, annotations: [:], isOnHostNetwork: false)
            #expect(try admission(standing, own) == (isAllowed ? nil : .targetProtected), "\(path)")
        }
    }

    @Test func `a unit is not the host's files`() throws {
        let unit = TargetClass.unit(try #require(UnitName("nginx")))
        let own = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], units: [nginx]}}"
        let whole = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], host: allowed}}"
        for (fault, parameters, isAllowed) in [
            ("disk-fill", ["path": "/tmp"], false), ("disk-fill", ["path": "/"], false),
            ("memory-stress", ["kind": "page-cache", "path": "/tmp"], false), ("memory-stress", ["percent": 10], true),
            ("io-throttle", ["path": "/"], true), ("io-throttle", ["path": "/root"], false),
        ] as [(String, JSON, Bool)] {
            let known = try #require(FaultCatalogue.parameters[fault])
            let ask = { (text: String, target: TargetClass) throws -> ProblemCode? in
                let gate = try gate(text)
                do throws(Problem) {
                    try gate.authorize(
                        fault: fault, for: .seconds(10), parameters: parameters, of: known, on: target)
                    return nil
                } catch {
                    return error.code
                }
            }
            #expect(try ask(own, unit) == (isAllowed ? nil : .targetProtected), "\(fault) \(parameters.text)")
            #expect(try ask(whole, unit) == nil)
            #expect(try ask(own, .container) == nil)
        }
    }

    @Test func `what a unit may be called`() {
        for name in ["nginx", "php8.2-fpm", "nginx.service", "getty@tty1.service", "run-u1.scope", #"a\x2db.service"#] {
            #expect(UnitName(name) != nil, "\(name)")
        }
        #expect(UnitName("nginx")?.description == "nginx.service")
        for name in ["", ".service", "nginx.socket", "system.slice", "a/b.service", "../x.service", "a b.service"] {
            #expect(UnitName(name) == nil, "\(name)")
        }
        #expect(UnitName(String(repeating: "a", count: 248) + ".service") == nil)
    }

    private func standing(
        namespace: String? = "shop", annotations: [String: String] = ["squall.dev/chaos": "allowed"],
        isOnHostNetwork: Bool = false, cgroup: String = "/kubepods/pod1/c1"
    ) -> TargetStanding {
        TargetStanding(
            facts: TargetFacts(
                container: namespace.map {
                    TargetFacts.Container(id: "c1", name: "web", pod: "web-1", namespace: $0, podUID: "u")
                },
                process: nil, network: nil, cgroup: TargetFacts.Cgroup(path: cgroup, id: 1)),
            annotations: annotations, isOnHostNetwork: isOnHostNetwork)
    }

    private func admission(_ standing: TargetStanding, _ text: String) throws -> ProblemCode? {
        let gate = try gate(text)
        do throws(Problem) {
            try gate.admit(standing)
            return nil
        } catch {
            return error.code
        }
    }

    private let all = "tenants: {shop: {faults: [\"*\"], namespaces: [\"*\"]}}"

    @Test func `no path leads round what is protected`() throws {
        let host = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], host: allowed}}"
        for (path, isAllowed) in [
            ("/system.slice/nginx.service", true), ("/system.slice/ssh.service", false), ("/system.slice", false),
            ("/user.slice/user-1.slice/session-2.scope", false), ("/init.scope", false), ("/made/by/hand", true),
        ] {
            let standing = standing(namespace: nil, cgroup: path)
            #expect(try admission(standing, host) == (isAllowed ? nil : .targetProtected), "\(path)")
        }
    }

    @Test func `which pods may be hit`() throws {
        #expect(try admission(standing(), all) == nil)
        #expect(
            try admission(standing(namespace: "bank"), "tenants: {shop: {faults: [\"*\"], namespaces: [shop]}}")
                == .namespaceDenied)
        #expect(try admission(standing(), "tenants: {shop: {faults: [\"*\"]}}") == .namespaceDenied)
        #expect(
            try admission(standing(namespace: ""), "tenants: {shop: {faults: [\"*\"], namespaces: [shop]}}")
                == .namespaceDenied)
        #expect(try admission(standing(namespace: "kube-system"), all) == .targetProtected)
        #expect(try admission(standing(isOnHostNetwork: true), all) == .targetProtected)
        #expect(try admission(standing(isOnHostNetwork: true), "guardrails: {hostNetwork: allowed}\n\(all)") == nil)
        for annotations in [[:], ["squall.dev/chaos": "true"], ["squall.dev/chaos": "Allowed"], ["chaos": "allowed"]] {
            #expect(try admission(standing(annotations: annotations), all) == .optInMissing)
            #expect(try admission(standing(annotations: annotations), "guardrails: {optIn: none}\n\(all)") == nil)
        }
    }

    @Test func `the agent's own namespace is protected whatever the policy says`() throws {
        let text = "version: 1\nguardrails: {protectedNamespaces: []}\n\(all)"
        let policy = try Policy(yaml: Array(text.utf8), faults: FaultCatalogue.parameters)
        let tenant = try #require(Self.tenant)
        try policy.gate(for: tenant).admit(standing(namespace: "chaos"))
        let problem = #expect(throws: Problem.self) {
            try policy.protecting(NamePattern("chaos")).gate(for: tenant).admit(standing(namespace: "chaos"))
        }
        #expect(problem?.code == .targetProtected)
    }

    @Test(arguments: [
        ("/system.slice/nginx.service", true), ("/kubepods/besteffort/pod1", false),
        ("/kubepods.slice/kubepods-pod1.slice", false),
        ("/system.slice/docker-\(String(repeating: "0123456789abcdef", count: 4)).scope", false),
        ("/k8s.io/\(String(repeating: "0123456789abcdef", count: 4))", false),
        ("/k8s.io/\(String(repeating: "0123456789abcdef", count: 4))/child", false),
        ("/user.slice/0123456789abcdef", true),
    ])
    func `a pod is no part of the node that a number or a path can name`(path: String, isAllowed: Bool) throws {
        let text = "guardrails: {host: allowed}\ntenants: {shop: {faults: [\"*\"], host: allowed}}"
        #expect(
            try admission(standing(namespace: nil, annotations: [:], cgroup: path), text)
                == (isAllowed ? nil : .targetProtected))
    }

    // MARK: How many

    private func target(_ container: String) -> TargetFacts {
        TargetFacts(
            container: TargetFacts.Container(
                id: container, name: String(container.prefix(1)), pod: "p", namespace: "shop", podUID: "u"),
            process: nil, network: nil, cgroup: TargetFacts.Cgroup(path: "/\(container)", id: 1))
    }

    private func counted(_ tenant: String, _ container: String) throws -> CountedSession {
        CountedSession(tenant: try #require(Tenant(tenant)), target: target(container))
    }

    private func isFull(_ grant: String, guardrails: String = "{}", _ sessions: [CountedSession], containers: Int = 10)
        throws -> Bool
    {
        let gate = try gate("guardrails: \(guardrails)\ntenants: {shop: {faults: [\"*\"], \(grant)}}")
        do throws(Problem) {
            try gate.admit(target("a"), beside: sessions, containers: containers)
            return false
        } catch {
            #expect(error.code == .limitExceeded)
            return true
        }
    }

    @Test func `how many sessions there may be`() throws {
        let sessions = [try counted("shop", "a"), try counted("shop", "b"), try counted("bank", "a")]
        #expect(try !isFull("sessions: 3", sessions))
        #expect(try isFull("sessions: 2", sessions))
        #expect(try isFull("sessions: 0", []))
        #expect(try !isFull("sessionsPerTarget: 2", sessions))
        #expect(try isFull("sessionsPerTarget: 1", sessions))
        #expect(try !isFull("sessions: 9", guardrails: "{sessions: 4}", sessions))
        #expect(try isFull("sessions: 9", guardrails: "{sessions: 3}", sessions))
    }

    @Test func `a container that took another one's place is the same target`() throws {
        #expect(try isFull("sessionsPerTarget: 1", [try counted("shop", "a-before")]))
        #expect(try !isFull("containers: 10", [try counted("shop", "a-before")]))
    }

    @Test(arguments: [(100, 29), (50, 58), (90, 70), (7, 100), (3, 34)])
    func `a share is counted exactly`(containers: Int, percent: Int) throws {
        let most = containers * percent / 100
        let others = try (0..<most).map { try counted("shop", "\(UnicodeScalar(UInt8(0x62 + $0 % 90)))\($0)") }
        let distinct = Set(others.map { "\($0)" }).count
        try #require(distinct == most)
        #expect(try isFull("containers: \(percent)", others, containers: containers))
        #expect(try !isFull("containers: \(percent)", Array(others.dropLast()), containers: containers))
    }

    @Test func `how many containers may be hit at once`() throws {
        let sessions = [try counted("shop", "b"), try counted("shop", "b"), try counted("bank", "c")]
        #expect(try !isFull("containers: 20", sessions))
        #expect(try isFull("containers: 19", sessions))
        // One it may always hit, and the same one again.
        #expect(try !isFull("containers: 1", []))
        #expect(try !isFull("containers: 1", [try counted("shop", "a")]))
    }
}
