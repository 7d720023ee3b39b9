import ChaosModel
import Hardening
import LinuxSystem

/// Whether this process was given the capabilities that it needs.
struct CapabilityReport: Sendable {
    private let needed: CapabilitySet
    private let missing: CapabilitySet

    /// Looks at what the calling thread may use; all threads have what the process was started with.
    init(needed: CapabilitySet) throws(SystemCallError) {
        self.needed = needed
        missing = try needed.missing()
    }

    var json: JSON {
        ["needed": Self.json(needed), "missing": Self.json(missing)]
    }

    private static func json(_ set: CapabilitySet) -> JSON { .array(set.names.map(JSON.string)) }
}
