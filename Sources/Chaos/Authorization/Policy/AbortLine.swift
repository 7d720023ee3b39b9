package import ChaosModel
package import LinuxSystem

/// How bad a node may fare. Where it fares worse, every session is taken back, and none begins.
package struct AbortLine: Hashable, Sendable {
    /// The most, in percent of the last ten seconds.
    package var pressures: [Pressure: Percentage] = [:]
    /// The least that is free of the file system of the agent's state, in percent.
    package var freeDisk: Percentage?

    package init() {}

    /// Why the line is crossed; nil when it is not. What cannot be told counts as crossed.
    package func crossing(
        onFileSystemOf path: String,
        average: (Pressure) throws(SystemCallError) -> Double = { (of) throws(SystemCallError) in
            try of.average()
        }
    ) -> String? {
        do throws(SystemCallError) {
            for pressure in Pressure.allCases {
                guard let most = pressures[pressure] else { continue }
                let now = try average(pressure)
                if now > most.value { return "the \(pressure.rawValue) pressure is \(now) %, more than \(most)" }
            }
            guard let least = freeDisk else { return nil }
            let free = (try freeShare(ofFileSystemOf: path) * 10).rounded() / 10
            return free < least.value ? "\(free) % of the disk of \(path) are free, less than \(least)" : nil
        } catch {
            return "how the node fares cannot be told: \(error)"
        }
    }
}
