import ChaosModel
import LinuxSystem
import Netlink
import Steps
import Testing

struct TrafficShapingValueTests {
    private static let half = Percentage(50)
    private static let quarter = Percentage(25)

    @Test func `latencies and jitters add up, and the strongest correlation of a jitter is taken`() {
        let steady = TrafficImpairment(latency: .milliseconds(100), correlation: Percentage(90))
        let shaky = TrafficImpairment(latency: .milliseconds(20), jitter: .milliseconds(5), correlation: Self.quarter)
        let shakier = TrafficImpairment(latency: .milliseconds(3), jitter: .milliseconds(1), correlation: Self.half)
        #expect(
            shaky.combined(with: shakier)
                == TrafficImpairment(latency: .milliseconds(23), jitter: .milliseconds(6), correlation: Self.half))
        #expect(
            steady.combined(with: shaky)
                == TrafficImpairment(latency: .milliseconds(120), jitter: .milliseconds(5), correlation: Self.quarter))
    }

    @Test func `the order of combining does not matter`() {
        let all = [
            TrafficImpairment(latency: .milliseconds(100), correlation: Percentage(90)),
            TrafficImpairment(latency: .milliseconds(20), jitter: .milliseconds(5), correlation: Self.quarter),
            TrafficImpairment(latency: .milliseconds(3), jitter: .milliseconds(1)),
        ]
        for first in all {
            for second in all {
                #expect(first.combined(with: second) == second.combined(with: first))
                for third in all {
                    #expect(
                        first.combined(with: second).combined(with: third)
                            == first.combined(with: second.combined(with: third)))
                }
            }
        }
    }

    @Test(arguments: [
        (Duration.milliseconds(1), UInt32(10_000)), (.milliseconds(100), 10_000), (.milliseconds(250), 25_000),
        (.seconds(1), 100_000), (.seconds(600), 100_000),
    ])
    func `a queue holds a hundred thousand packets a second, within bounds`(latency: Duration, limit: UInt32) {
        #expect(TrafficImpairment(latency: latency).netem == Netem(limit: limit, latency: latency))
    }

    @Test func `jitter is cut to what the kernel keeps, and correlation is a share of 32 bits`() {
        let netem = TrafficImpairment(latency: .seconds(9), jitter: .seconds(9), correlation: Percentage(100)).netem
        #expect(netem.jitter == .nanoseconds(Int64(Int32.max)))
        #expect(netem.latencyCorrelation == .max)
    }

    @Test(arguments: [
        TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(100))),
        TrafficLayer(
            filter: TrafficFilter(boxes: [TrafficBox(family: .ipv6)]),
            impairment: TrafficImpairment(latency: .nanoseconds(1), jitter: .seconds(90), correlation: Percentage(12.5))
        ),
    ])
    func `a layer survives the journal`(layer: TrafficLayer) throws {
        #expect(TrafficLayer(try JSON(parsing: layer.json.text)) == layer)
    }

    @Test func `a layer's text is what every version must read`() throws {
        let text = """
            {"direction":"egress","filter":[{"family":"ipv4"},{"family":"ipv6"}],\
            "impairment":{"latency":"100ms","jitter":"10ms","correlation":25.0}}
            """
        let layer = TrafficLayer(
            impairment: TrafficImpairment(
                latency: .milliseconds(100), jitter: .milliseconds(10), correlation: Self.quarter))
        #expect(layer.json.text == text)
        #expect(TrafficLayer(try JSON(parsing: text)) == layer)
    }

    @Test(arguments: [
        #"{"direction":"egress","filter":[],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"sideways","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv5"}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4","port":1}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","loss":1}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":1,"jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","correlation":101}}"#,
        #"[]"#,
    ])
    func `anything else is no layer`(text: String) throws {
        #expect(TrafficLayer(try JSON(parsing: text)) == nil)
    }

    @Test func `a base survives the journal`() throws {
        let base = TrafficBase(interfaces: [
            TrafficBase.Interface(index: 2, name: "eth0", hadClsact: false, transmitQueueLength: 0),
            TrafficBase.Interface(index: 7, name: "eth1", hadClsact: true, transmitQueueLength: 1000),
        ])
        let text =
            #"{"interfaces":[{"index":2,"name":"eth0","hadClsact":false,"transmitQueueLength":0},"#
            + #"{"index":7,"name":"eth1","hadClsact":true,"transmitQueueLength":1000}]}"#
        #expect(base.json.text == text)
        #expect(TrafficBase(try JSON(parsing: text)) == base)
        #expect(TrafficBase(try JSON(parsing: #"{"interfaces":[{"index":0,"name":"eth0","hadClsact":false}]}"#)) == nil)
    }
}
