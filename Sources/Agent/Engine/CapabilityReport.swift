import ChaosModel
import Faults
import Hardening
import LinuxSystem

/// Whether this process was given the capabilities that it needs.
struct CapabilityReport: Sendable {
    private let needed: CapabilitySet
    private let missing: CapabilitySet
    private let givenUp: CapabilitySet
    /// What it may do without, and was not given.
    private let withheld: CapabilitySet

    /// Looks at what the calling thread may use; all threads have what the process was started with.
    init(givenUp: CapabilitySet) throws(SystemCallError) {
        self.givenUp = givenUp
        withheld = try EngineCapability.optional.missing().subtracting(givenUp)
        needed = EngineCapability.everything.subtracting(givenUp).subtracting(withheld)
        missing = try needed.missing()
    }

    var json: JSON {
        ["needed": Self.json(needed), "missing": Self.json(missing), "givenUp": Self.json(givenUp)]
    }

    /// What a fault needs, and the engine has given up or was not given.
    func lost(to fault: any Fault.Type) -> JSON? {
        let lost = EngineCapability.needed(by: fault).intersection(givenUp.union(withheld))
        return lost.isEmpty ? Optional.none : Self.json(lost)
    }

    private static func json(_ set: CapabilitySet) -> JSON { .array(set.names.map(JSON.string)) }
}
