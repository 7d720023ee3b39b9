import ChaosModel
import Glibc
import LinuxSystem
import Namespaces
import Netlink
import Steps
import Testing

/// Two network namespaces of this test's own, joined by two veth pairs; `tc`, `ip` and `ping` are its witnesses.
///
///     target: eth0 10.9.1.1, fd09:1::1 ── peer: eth0 10.9.1.2, fd09:1::2
///             eth1 10.9.2.1, fd09:2::1 ──       eth1 10.9.2.2, fd09:2::2
final class TrafficShapingWorld {
    let target: String
    private let peer: String
    private let thread: NamespaceThread

    static let addresses = ["10.9.1.2", "fd09:1::2", "10.9.2.2", "fd09:2::2"]

    /// Root, and a kernel with netem, flower, mirred and ifb.
    static let isPossible: Bool = {
        do {
            let thread = try NamespaceThread()
            try withTemporaryNetworkNamespace { namespace in
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in
                    let socket = try NetlinkSocket()
                    try socket.addIFB(named: "probe")
                    for link in try socket.links() where link.name == "probe" {
                        try socket.setNetem(Netem(limit: 1, latency: .zero), asRootOf: link.index)
                        try socket.addClsact(to: link.index)
                        let place = Filter.Place(
                            interface: link.index, hook: .egress, preference: 1, etherType: .ipv4)
                        try socket.setFlower(at: place, action: FilterAction(.redirect(to: link.index), cookie: []))
                    }
                }
            }
            return true
        } catch {
            return false
        }
    }()

    init() throws {
        let name = "squall-test-\(SessionID.random().text.suffix(6))"
        target = "\(name)-a"
        peer = "\(name)-b"
        thread = try NamespaceThread()
        try shell("ip netns add \(target) && ip netns add \(peer)")
        try shell("ip -n \(target) link set lo up")
        for (number, name) in [(1, "eth0"), (2, "eth1")] {
            try shell("ip -n \(target) link add \(name) type veth peer name \(name) netns \(peer)")
            for (host, namespace) in [(1, target), (2, peer)] {
                try shell(
                    """
                    ip -n \(namespace) addr add 10.9.\(number).\(host)/24 dev \(name) &&
                    ip -n \(namespace) addr add fd09:\(number)::\(host)/64 dev \(name) nodad &&
                    ip -n \(namespace) link set \(name) up
                    """)
            }
        }
        // Neighbours are found before anything is measured.
        for address in Self.addresses { try inTarget("ping -q -c 1 -w 5 \(address)") }
    }

    deinit {
        do {
            try shell("ip netns del \(target); ip netns del \(peer)")
            try shell("[ ! -d \(cgroupRoot) ] || find \(cgroupRoot) -depth -type d -exec rmdir {} +")
        } catch {
            Issue.record(error)
        }
    }

    /// Behind the peer, networks to which only packets of up to 1300 bytes get.
    func makeNarrowWay() throws {
        try shell(
            """
            ip -n \(peer) link add narrow mtu 1300 type dummy &&
            ip -n \(peer) addr add 10.9.3.1/24 dev narrow && ip -n \(peer) addr add fd09:3::1/64 dev narrow nodad &&
            ip -n \(peer) link set narrow up && ip netns exec \(peer) sh -c \
            'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
            """)
        try inTarget("ip route add 10.9.3.0/24 via 10.9.1.2")
        try inTarget("ip route add fd09:3::/64 via fd09:1::2")
    }

    /// A shaper that knows nothing, as after a restart.
    func shaper(budget: MessageBudget? = nil) throws -> TrafficShaper {
        var socket: NetlinkSocket?
        let namespace = try NamespaceHandle(.network, at: "/run/netns/\(target)")
        try thread.run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in socket = try NetlinkSocket() }
        let opened = try #require(socket)
        if let budget {
            opened.willChange = { (call, subject) throws(NetlinkError) in try budget.spend(call, subject) }
        }
        return TrafficShaper(opened, classifiers: try CgroupClassifiers())
    }

    /// Converges as often as it takes; gives up draining after two seconds, as the engine does.
    @discardableResult
    func settle(
        _ shaper: TrafficShaper, to layers: [SessionID: TrafficLayer], from base: TrafficBase
    ) throws -> [String] {
        let start = BootInstant.now
        while true {
            let outcome = try shaper.converge(
                to: layers, from: base, giveUpDraining: BootInstant.now - start > .seconds(2), leavesLinks: true)
            switch outcome {
            case .settled(let drift): return drift
            case .leaves(let links): try shaper.delete(links: links)
            case .draining(let retry): usleep(UInt32(retry.wholeNanoseconds / 1000))
            }
        }
    }

    @discardableResult
    func inTarget(_ command: String) throws -> String {
        try shell("ip netns exec \(target) \(command)")
    }

    /// Where this test's own cgroups are.
    private var cgroupRoot: String { "/sys/fs/cgroup/\(target)" }

    /// A cgroup below this test's own, and all above it.
    func makeCgroup(_ path: String) throws -> TargetFacts.Cgroup {
        try shell("mkdir -p \(cgroupRoot)\(path)")
        let inode = try shell("stat -c %i \(cgroupRoot)\(path)").filter(\.isNumber)
        return TargetFacts.Cgroup(path: "/\(target)\(path)", id: try #require(UInt64(inode)))
    }

    /// Interfaces, qdiscs and filters of the target, without counters.
    func dump() throws -> String {
        try inTarget(
            """
            sh -c 'ip -o link show; tc -j qdisc show
            for name in eth0 eth1; do
                for hook in ingress egress; do tc filter show dev $name $hook; done
            done'
            """)
    }

    /// Asks for a connection, which is refused.
    func connect(to address: String, port: Int, from cgroup: TargetFacts.Cgroup? = nil) throws {
        let enter = cgroup.map { "echo $$ > /sys/fs/cgroup\($0.path)/cgroup.procs && " } ?? ""
        let ask = "ip netns exec \(target) bash -c \"(exec 3<>/dev/tcp/\(address)/\(port)) 2> /dev/null || true\""
        try shell("sh -c '\(enter)exec \(ask)'")
    }

    /// The same, from the peer to the target.
    func connectBack(port: Int) throws {
        try shell("ip netns exec \(peer) bash -c '(exec 3<>/dev/tcp/10.9.1.1/\(port)) 2> /dev/null || true'")
    }

    /// The least of three round-trip times, in milliseconds; of more, as long as a busy machine delays them further.
    func roundTrip(_ address: String, below limit: Double, from cgroup: TargetFacts.Cgroup? = nil) throws -> Double {
        var least = try roundTrip(address, from: cgroup)
        for _ in 0..<5 where least >= limit { least = min(least, try roundTrip(address, from: cgroup)) }
        return least
    }

    func roundTrip(_ address: String, from cgroup: TargetFacts.Cgroup? = nil) throws -> Double {
        // `ip netns exec` has a /sys of its own, without cgroups.
        let enter = cgroup.map { "echo $$ > /sys/fs/cgroup\($0.path)/cgroup.procs && " } ?? ""
        let ping = "ip netns exec \(target) ping -q -n -c 3 -i 0.05 -w 20 \(address)"
        let output = try shell("sh -c '\(enter)exec \(ping)'")
        // rtt min/avg/max/mdev = 100.4/100.6/100.9/0.2 ms
        let figures = try #require(output.split(separator: "= ").last)
        return try #require(Double(figures.prefix { $0 != "/" }))
    }
}

/// Requests that may be sent before the process is killed.
final class MessageBudget {
    private var left: Int
    private(set) var isExhausted = false

    static let killed = NetlinkError("SIGKILL", on: "test", errno: .interrupted)

    init(_ count: Int) { left = count }

    func spend(_ call: String, _ subject: String) throws(NetlinkError) {
        guard left > 0 else {
            isExhausted = true
            throw Self.killed
        }
        left -= 1
    }
}

extension TrafficLayer {
    static func latency(_ milliseconds: Int, _ filter: TrafficFilter = .everything) -> TrafficLayer {
        TrafficLayer(filter: filter, impairment: TrafficImpairment(latency: .milliseconds(milliseconds)))
    }
}

struct ShellFailure: Error {
    let command: String
    let output: String
}

@discardableResult
func shell(_ command: String) throws -> String {
    guard let pipe = popen("(\(command)) 2>&1", "r") else {
        throw SystemCallError("popen", on: command, errno: .current)
    }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { output += chunk[..<count] }
    let text = String(decoding: output, as: UTF8.self)
    guard pclose(pipe) == 0 else { throw ShellFailure(command: command, output: text) }
    return text
}
