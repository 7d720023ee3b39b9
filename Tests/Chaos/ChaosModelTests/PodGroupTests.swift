import ChaosModel
import Testing

struct PodGroupTests {
    private static let pods = PodSelector(namespace: "shop", labels: ["app": "web"])
    private static let uids = (0..<100).map { "pod-\($0)" }

    @Test(
        arguments: [
            .one(.cgroup("/a")), .pods(PodGroup(pods: pods, share: .count(2))),
            .pods(PodGroup(pods: pods, share: .percent(50), seed: 7)),
        ] as [InjectionTarget])
    func `reads back what it writes`(target: InjectionTarget) throws {
        #expect(try InjectionTarget(JSON(parsing: target.json.text)) == target)
    }

    @Test func `reads back of which group a session is`() {
        let membership = GroupMembership(id: .random(), size: 2, matched: 5, seed: 1 << 53 - 1)
        #expect(GroupMembership(membership.json) == membership)
        #expect(GroupMembership(["id": "g-0", "size": 1, "matched": 5, "seed": 1]) == nil)
    }

    @Test(
        arguments: [
            (#"[]"#, .fieldInvalid, "target.pods"), (#"{"count":1}"#, .fieldMissing, "target.pods.namespace"),
            (#"{"namespace":"shop","count":1}"#, .fieldMissing, "target.pods"),
            (#"{"namespace":"shop","name":"a"}"#, .fieldMissing, "target.pods.count"),
            (#"{"namespace":"shop","name":"a","count":1,"percent":1}"#, .fieldInvalid, "target.pods.count"),
            (#"{"namespace":"shop","name":"a","count":0}"#, .fieldInvalid, "target.pods.count"),
            (#"{"namespace":"shop","name":"a","count":33}"#, .fieldInvalid, "target.pods.count"),
            (#"{"namespace":"shop","name":"a","count":"2"}"#, .fieldInvalid, "target.pods.count"),
            (#"{"namespace":"shop","name":"a","percent":101}"#, .fieldInvalid, "target.pods.percent"),
            (#"{"namespace":"shop","name":"a","percent":0.5}"#, .fieldInvalid, "target.pods.percent"),
            (#"{"namespace":"shop","name":"a","count":1,"seed":-1}"#, .fieldInvalid, "target.pods.seed"),
            (#"{"namespace":"shop","name":"a","count":1,"seed":9007199254740992}"#, .fieldInvalid, "target.pods.seed"),
            (#"{"namespace":"shop","name":"a","count":1,"mode":"all"}"#, .fieldUnknown, "target.pods.mode"),
        ] as [(String, ProblemCode, String)])
    func `says which part of a group is wrong`(text: String, code: ProblemCode, field: String) throws {
        let json = try JSON(parsing: text)
        let problem = #expect(throws: Problem.self) { try InjectionTarget(["pods": json]) }
        #expect(problem?.code == code)
        #expect(problem?.field == field)
    }

    @Test(
        arguments: [
            (.count(3), 10, 3), (.count(3), 2, 2), (.percent(50), 5, 2), (.percent(1), 5, 1), (.percent(100), 5, 5),
            (.percent(99), 5, 4), (.count(1), 1, 1),
        ] as [(PodGroup.Share, Int, Int)])
    func `hits so many`(share: PodGroup.Share, all: Int, number: Int) {
        let group = PodGroup(pods: Self.pods, share: share)
        #expect(group.chosen(of: Array(Self.uids.prefix(all)), seed: 1).count == number)
    }

    @Test func `the same seed chooses the same pods, whatever their order and whichever others there are`() {
        let group = PodGroup(pods: Self.pods, share: .count(5))
        let chosen = Set(group.chosen(of: Self.uids, seed: 42).map { Self.uids[$0] })
        let reversed = Array(Self.uids.reversed())
        #expect(Set(group.chosen(of: reversed, seed: 42).map { reversed[$0] }) == chosen)
        let fewer = Self.uids.filter { chosen.contains($0) || $0.hasSuffix("1") }
        #expect(Set(group.chosen(of: fewer, seed: 42).map { fewer[$0] }) == chosen)
    }

    @Test func `over many seeds each pod is chosen about as often`() {
        let group = PodGroup(pods: Self.pods, share: .percent(20))
        var counts = [Int](repeating: 0, count: Self.uids.count)
        for seed in 0..<1000 as Range<Int64> {
            for place in group.chosen(of: Self.uids, seed: seed) { counts[place] += 1 }
        }
        // 200 each, with a deviation of 12.6: five of them, for all hundred at once.
        #expect(counts.allSatisfy { (137...263).contains($0) }, "\(counts)")
    }
}
