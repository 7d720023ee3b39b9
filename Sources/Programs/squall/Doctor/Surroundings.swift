import LinuxSystem

/// What can be seen of the node from where this runs: on it, or in the agent's container.
enum Surroundings {
    static func checks() -> [Check] { [clock, datapath] }

    /// A token is refused that is signed more than some seconds ahead of this clock.
    private static var clock: Check {
        let name = "clock"
        do throws(SystemCallError) {
            if try isWallClockKept() { return Check(name, .ok, "kept right, as the kernel was told") }
        } catch {
            return Check(name, .warning, "\(error)", remedy: "whether anybody keeps it right cannot be told from here")
        }
        return Check(
            name, .warning, "nobody keeps it right, as far as the kernel was told",
            remedy: "tokens that are signed by a clock that differs are refused: run chrony or another NTP client")
    }

    /// Interfaces that tell of a datapath which passes packets beside the queues that faults act on, or through them twice.
    private static let datapaths = [
        (
            "cilium_", "Cilium",
            "with its eBPF host routing packets pass beside the pods' queues: set bpf.hostLegacyRouting"
        ),
        ("bpfin.cali", "Calico's eBPF datapath", "packets can be redirected past the pods' queues"),
    ]

    /// The corresponding file is `/proc/1/net/dev`: of the node, not of the agent's pod.
    private static var datapath: Check {
        let name = "datapath"
        let text: String
        do throws(SystemCallError) {
            text = try TextFile.read("/proc/1/net/dev")
        } catch {
            return Check(name, .warning, "\(error)", remedy: "see that the agent's pod has hostPID")
        }
        let interfaces = text.split(separator: "\n").compactMap { line -> Substring? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return line[..<colon].drop { $0 == " " }
        }
        for (prefix, words, advice) in datapaths {
            guard let found = interfaces.first(where: { $0.hasPrefix(prefix) }) else { continue }
            return Check(
                name, .warning, "\(words): the node has an interface \(found)",
                remedy: "\(advice); measure a network fault with ping before you trust it")
        }
        return Check(name, .ok, "none is known here to pass beside the pods' queues")
    }
}
