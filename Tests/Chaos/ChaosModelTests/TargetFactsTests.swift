import ChaosModel
import Testing

private let whole = String(repeating: "0123456789abcdef", count: 4)

struct TargetFactsTests {
    @Test(
        arguments: [
            (whole, true), ("docker-\(whole).scope", true), ("cri-containerd-\(whole).scope", true),
            ("libpod-\(whole)", true), ("docker-\(whole)0.scope", false), ("a\(whole)", false),
            (String(whole.dropLast()), false), ("docker-.scope", false),
        ] as [(String, Bool)])
    func `a cgroup is a container's by its whole identifier`(part: String, isNamed: Bool) {
        let ofPod = TargetFacts.Container(id: whole, name: "web", pod: "web-0", namespace: "shop", podUID: "u")
        let standalone = TargetFacts.Container(id: whole, standaloneNamed: "shop-db")
        #expect(ofPod.isNamed(in: part[...]) == isNamed)
        #expect(standalone.isNamed(in: part[...]) == isNamed)
    }

    @Test(arguments: ["", "0", "0123456789ab", "docker"])
    func `less than an identifier names no cgroup of Docker's`(id: String) {
        let part = "docker-\(whole).scope"
        #expect(!TargetFacts.Container(id: id, standaloneNamed: "shop-db").isNamed(in: part[...]))
        #expect(!TargetFacts.Container(id: id, standaloneNamed: "shop-db").isNamed(in: id[...]))
    }
}
