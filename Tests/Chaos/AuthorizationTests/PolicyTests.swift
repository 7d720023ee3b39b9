import Authorization
import ChaosModel
import Faults
import Testing
import YAML

struct PolicyTests {
    private func policy(_ text: String) throws -> Policy {
        try Policy(yaml: Array(text.utf8), faults: FaultCatalogue.parameters)
    }

    @Test func `a policy is read whole`() throws {
        let policy = try policy(
            """
            version: 1
            guardrails:
              protectedNamespaces: [kube-system, "istio-*"]
              optIn: none
              hostNetwork: allowed
              host: allowed
              duration: 30m
              sessions: 50
            tenants:
              shop:
                namespaces: [shop, "shop-*"]
                tlsIdentities: ["spiffe://example.org/ns/shop/sa/chaos", Chaos.Shop.Example]
                faults: ["network-*", cpu-stress]
                host: allowed
                duration: 10m
                sessions: 20
                sessionsPerTarget: 3
                containers: 30
                intensity:
                  cpu-stress: {load: 80}
                  network-rate-limit:
                    rate: {min: 1Mbit, max: 1Gbit}
            """)
        let guardrails = policy.guardrails
        #expect(guardrails.protectedNamespaces.map(\.text) == ["kube-system", "istio-*"])
        #expect(!guardrails.requiresOptIn && guardrails.allowsHostNetwork && guardrails.host == .parts)
        #expect(guardrails.longestDuration == .seconds(1800) && guardrails.sessions == 50)
        let grant = try #require(policy.tenants.first { $0.key.name == "shop" }).value
        #expect(
            grant.namespaces.map(\.text) == ["shop", "shop-*"]
                && grant.faults.map(\.text) == ["network-*", "cpu-stress"])
        #expect(grant.tlsIdentities.map(\.text) == ["spiffe://example.org/ns/shop/sa/chaos", "chaos.shop.example"])
        #expect(grant.host == .parts && grant.longestDuration == .seconds(600))
        #expect(grant.sessions == 20 && grant.sessionsPerTarget == 3 && grant.containerShare == Percentage(30))
        #expect(grant.intensities["cpu-stress"]?["load"]?.most == 80)
        #expect(grant.intensities["network-rate-limit"]?["rate"]?.least == 1e6)
    }

    @Test func `what is left out is refused or bounded`() throws {
        let policy = try policy("version: 1\ntenants: {shop: {faults: []}}")
        #expect(policy.guardrails == Guardrails())
        #expect(policy.guardrails.protectedNamespaces.map(\.text) == ["kube-system"])
        #expect(
            policy.guardrails.requiresOptIn && policy.guardrails.host == .none && !policy.guardrails.allowsHostNetwork)
        #expect(policy.guardrails.longestDuration == .seconds(7200))
        #expect(Array(policy.tenants.values) == [Grant()])
    }

    @Test(arguments: [
        ("tenants: {}", "line 1: \"version\" is missing"),
        ("version: 2\ntenants: {}", "line 1: version: this agent reads version 1"),
        ("version: 1", "line 1: \"tenants\" is missing"),
        (
            "version: 1\ntenants:\n  shop: {faults: [], tlsIdentities: [a.b]}\n  bank: {faults: [], tlsIdentities: [A.b]}",
            "line 4: tenants.bank: a.b is tenant shop's, too"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], tlsIdentities: [\"*.b\"]}",
            "line 3: tenants.shop.tlsIdentities[0]: a certificate's name is a URI or a DNS name, without wildcards"
        ),
        ("version: 1\ntenants: []", "line 2: tenants: a mapping of names to values"),
        ("version: 1\ntenants: {}\ntenant: {}", "line 3: tenant: unknown"),
        (
            "version: 1\ntenants: {Shop: {faults: []}}",
            "line 2: tenants.Shop: a tenant's name is 1 to 63 lower-case letters, digits and inner hyphens"
        ),
        (
            "version: 1\ntenants:\n  shop:\n    faults: cpu-stress",
            "line 4: tenants.shop.faults: a list of names, as [shop, \"shop-*\"], of 1000 at most"
        ),
        (
            "version: 1\ntenants:\n  shop:\n    faults:\n    - cpu-stres",
            "line 5: tenants.shop.faults: no fault is called \"cpu-stres\""
        ),
        (
            "version: 1\ntenants:\n  shop:\n    namespaces: [Shop]",
            "line 4: tenants.shop.namespaces[0]: a name is lower-case letters, digits, '-' and '.', and may have up to four '*'"
        ),
        ("version: 1\ntenants:\n  shop:\n    namespaces: [shop]", "line 4: tenants.shop: \"faults\" is missing"),
        ("version: 1\ntenants:\n  shop: {faults: [], session: 3}", "line 3: tenants.shop.session: unknown"),
        (
            "version: 1\ntenants:\n  shop: {faults: [], sessions: -1}",
            "line 3: tenants.shop.sessions: a whole number, 0 to 1000000"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], duration: 3h}",
            "line 3: tenants.shop.duration: a duration with its unit, 100ms to 2h"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], host: yes}",
            "line 3: tenants.shop.host: allowed or refused or whole"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], containers: 0}",
            "line 3: tenants.shop.containers: a number of percent, above 0 and up to 100"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {cpu: {load: 1}}}",
            "line 3: tenants.shop.intensity.cpu: no fault is called \"cpu\""
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {container-kill: {x: 1}}}",
            "line 3: tenants.shop.intensity.container-kill.x: no parameter that can be bounded; there are gracePeriod"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {cpu-stress: {load: 101}}}",
            "line 3: tenants.shop.intensity.cpu-stress.load: 101 is no value of it: 1 to 100 percent"
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {cpu-stress: {load: {}}}}",
            "line 3: tenants.shop.intensity.cpu-stress.load: neither \"min\" nor \"max\""
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {network-rate-limit: {rate: {min: 2Mbit, max: 1Mbit}}}}",
            "line 3: tenants.shop.intensity.network-rate-limit.rate: \"min\" is more than \"max\""
        ),
        (
            "version: 1\ntenants:\n  shop: {faults: [], intensity: {cpu-stress: {base: [core]}}}",
            "line 3: tenants.shop.intensity.cpu-stress.base: a list of words that are allowed, of cores, quota, node"
        ),
        ("version: 1\nguardrails: {optIn: false}\ntenants: {}", "line 2: guardrails.optIn: none or required"),
        ("version: 1\nguardrails: {host: true}\ntenants: {}", "line 2: guardrails.host: allowed or refused or whole"),
    ])
    func `what is wrong is told with its line and place`(text: String, reason: String) {
        let error = #expect(throws: YAMLError.self) { try policy(text) }
        #expect(error?.description == reason)
    }

    @Test(arguments: [
        ("shop", "shop", true), ("shop", "shop2", false), ("shop-*", "shop-1", true), ("shop-*", "shop-", true),
        ("shop-*", "shop", false), ("*", "", true), ("*", "anything", true), ("*-db-*", "a-db-1", true),
        ("*-db-*", "a-db", false), ("a*b*c", "abbbc", true), ("a*b*c", "acb", false), ("a.b", "axb", false),
    ])
    func `a star stands for any run of characters`(pattern: String, name: String, matches: Bool) throws {
        #expect(try #require(NamePattern(pattern)).matches(name) == matches)
    }

    @Test(arguments: ["", "Shop", "shop_1", "a*b*c*d*e*", "sh?p", "shop ", "\u{E9}"])
    func `no other pattern is one`(text: String) {
        #expect(NamePattern(text) == nil)
    }
}
