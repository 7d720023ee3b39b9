package import ChaosModel
import KubernetesClient

/// What an experiment of Litmus does to its targets.
package enum LitmusFault: Sendable {
    /// The agent does it, once and for the whole time.
    case injected(fault: String, parameters: JSON, containers: Containers)
    /// The agent has the runtime stop a container, again after each interval.
    case containerKill(gracePeriod: Duration, interval: Duration)
    /// The cluster deletes pods, others after each interval.
    case podDelete(force: Bool, interval: Duration, isRandom: Bool)

    package enum Containers: Sendable {
        case one
        /// Each that is named, or all.
        case several
    }

    /// By the names of litmus-go, and without their `pod-`, as some write them.
    package static let names = [
        "pod-cpu-hog", "pod-memory-hog", "pod-io-stress", "disk-fill", "pod-network-latency", "pod-network-loss",
        "pod-network-corruption", "pod-network-duplication", "pod-network-rate-limit", "pod-network-partition",
        "container-kill", "pod-delete",
    ]

    /// Nil for an experiment that nobody knows.
    package static func canonicalName(_ name: String) -> String? {
        if names.contains(name) { return name }
        let longer = "pod-\(name)"
        return names.contains(longer) && name != "delete" ? longer : nil
    }

    /// How long it lasts where nothing is said, in seconds.
    static func standardDuration(of name: String) -> Int64 {
        switch name {
        case "container-kill": 20
        case "pod-delete", "pod-network-partition": 30
        default: 60
        }
    }

    /// Whether `RAMP_TIME` is waited for afterwards, too.
    static func rampsDown(_ name: String) -> Bool {
        ["disk-fill", "container-kill", "pod-delete", "pod-network-partition"].contains(name)
    }

    /// - Parameter name: A canonical one.
    package init(_ name: String, _ settings: LitmusSettings) throws(LitmusError) {
        switch name {
        case "pod-cpu-hog":
            let cores = try settings.number("CPU_CORES", otherwise: 0)
            let load = try settings.number("CPU_LOAD", otherwise: 100)
            self = .injected(
                fault: "cpu-stress", parameters: ["load": .integer(load), "workers": .integer(cores)],
                containers: .several)
        case "pod-memory-hog":
            let size = try settings.number("MEMORY_CONSUMPTION", otherwise: 500)
            self = .injected(
                fault: "memory-stress", parameters: ["size": .string("\(size)MiB")], containers: .several)
        case "pod-io-stress":
            self = .injected(
                fault: "io-stress", parameters: try Self.disk(settings), containers: .several)
        case "disk-fill":
            self = .injected(fault: "disk-fill", parameters: try Self.fill(settings), containers: .one)
        case "container-kill":
            let signal = settings.text("SIGNAL", otherwise: "SIGKILL")
            guard ["SIGKILL", "SIGTERM"].contains(signal) else {
                throw LitmusError(.generic, "SIGNAL is SIGKILL or SIGTERM, not \(signal.cut(to: 32))")
            }
            let patience = try settings.seconds("STATUS_CHECK_TIMEOUT", otherwise: 180)
            self = .containerKill(
                gracePeriod: signal == "SIGKILL" ? .zero : min(patience, .seconds(300)),
                interval: max(.seconds(1), try settings.seconds("CHAOS_INTERVAL", otherwise: 10)))
        case "pod-delete":
            self = .podDelete(
                force: settings.isTrue("FORCE", otherwise: false),
                interval: .seconds(min(max(try settings.number("CHAOS_INTERVAL", otherwise: 10), 1), 86400)),
                isRandom: settings.isTrue("RANDOMNESS", otherwise: false))
        default: self = try Self.network(name, settings)
        }
    }

    // MARK: Disks

    private static func disk(_ settings: LitmusSettings) throws(LitmusError) -> JSON {
        let workers = try settings.number("NUMBER_OF_WORKERS", otherwise: 4)
        let size: String
        if let bytes = settings["FILESYSTEM_UTILIZATION_BYTES"], settings["FILESYSTEM_UTILIZATION_PERCENTAGE"] == nil {
            guard let gigabytes = Int64(bytes) else {
                throw LitmusError(.generic, "FILESYSTEM_UTILIZATION_BYTES is \(bytes.cut(to: 32)), and no number of GB")
            }
            size = "\(gigabytes)GiB"
        } else {
            // A share of what is free is known to nobody but the agent, and the load is in the calls, not in the file.
            size = "256MiB"
        }
        return .object([
            ("path", settings["VOLUME_MOUNT_PATH"].map(JSON.string)), ("size", .string(size)),
            ("workers", .integer(min(max(workers, 1), 16))),
        ])
    }

    private static func fill(_ settings: LitmusSettings) throws(LitmusError) -> JSON {
        let percent = try settings.number("FILL_PERCENTAGE", otherwise: 80)
        // Where the container has a limit, `parameters(for:)` puts it in.
        return .object([
            ("percent", .integer(percent)),
            (
                "mebibytes",
                settings["EPHEMERAL_STORAGE_MEBIBYTES"] == nil
                    ? nil : .integer(try settings.number("EPHEMERAL_STORAGE_MEBIBYTES", otherwise: 0))
            ),
        ])
    }

    // MARK: Networks

    private static func network(_ name: String, _ settings: LitmusSettings) throws(LitmusError) -> LitmusFault {
        var members: [(String, JSON?)] = []
        func percent(_ variable: String) throws(LitmusError) {
            members.append(("percent", .integer(try settings.number(variable, otherwise: 100))))
        }
        let fault: String
        switch name {
        case "pod-network-latency":
            fault = "network-latency"
            let latency = try settings.time(
                "NETWORK_LATENCY", "LATENCY", unit: .milliseconds(1), otherwise: .milliseconds(2000))
            let jitter = try settings.time("JITTER", unit: .milliseconds(1), otherwise: .zero)
            members = [("latency", .string(latency.text)), ("jitter", .string(jitter.text))]
        case "pod-network-loss":
            fault = "network-loss"
            try percent("NETWORK_PACKET_LOSS_PERCENTAGE")
        case "pod-network-corruption":
            fault = "network-corruption"
            try percent("NETWORK_PACKET_CORRUPTION_PERCENTAGE")
        case "pod-network-duplication":
            fault = "network-duplication"
            try percent("NETWORK_PACKET_DUPLICATION_PERCENTAGE")
        case "pod-network-rate-limit":
            fault = "network-rate-limit"
            members = [("rate", .string(settings.text("NETWORK_BANDWIDTH", otherwise: "1mbit")))]
        default:
            fault = "network-partition"
            let directions = ["all": "both", "ingress": "ingress", "egress": "egress"]
            let type = settings.text("POLICY_TYPES", otherwise: "all").lowercased()
            guard let direction = directions[type] else {
                throw LitmusError(.generic, "POLICY_TYPES is ingress, egress or all, not \(type.cut(to: 32))")
            }
            for unknown in ["POD_SELECTOR", "NAMESPACE_SELECTOR", "PORTS"] where settings[unknown] != nil {
                throw LitmusError(
                    .generic,
                    "\(unknown) cannot be had: the agent knows addresses, by DESTINATION_IPS and DESTINATION_HOSTS")
            }
            members = [("direction", .string(direction))]
        }
        let correlation = try settings.number("CORRELATION", otherwise: 0)
        if correlation > 0, !["network-rate-limit", "network-partition"].contains(fault) {
            members.append(("correlation", .integer(correlation)))
        }
        if fault != "network-partition" {
            members.append(("interfaces", [.string(settings.text("NETWORK_INTERFACE", otherwise: "eth0"))]))
        }
        members += try destinations(settings)
        return .injected(fault: fault, parameters: .object(members), containers: .one)
    }

    private static func destinations(_ settings: LitmusSettings) throws(LitmusError) -> [(String, JSON?)] {
        func list(_ names: String, _ older: String) throws(LitmusError) -> JSON? {
            let parts = settings.list(names, older)
            if let part = parts.first(where: { $0.contains("|") }) {
                throw LitmusError(
                    .generic,
                    "\(names) has \(part.cut(to: 64)): ports of one address alone cannot be had; DESTINATION_PORTS is for all"
                )
            }
            return parts.isEmpty ? nil : .array(parts.map(JSON.string))
        }
        func ports(_ name: String) throws(LitmusError) -> JSON? {
            let text = settings.text(name)
            if text.hasPrefix("!") { throw LitmusError(.generic, "\(name) with \"!\" cannot be had") }
            let ports = settings.list(name)
            return ports.isEmpty ? nil : .array(ports.map(JSON.string))
        }
        return [
            ("destinationIPs", try list("DESTINATION_IPS", "TARGET_IPs")),
            ("destinationHosts", try list("DESTINATION_HOSTS", "TARGET_HOSTS")),
            ("destinationPorts", try ports("DESTINATION_PORTS")), ("sourcePorts", try ports("SOURCE_PORTS")),
        ]
    }
}
