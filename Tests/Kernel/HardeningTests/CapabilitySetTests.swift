import Glibc
import Hardening
import Testing

struct CapabilitySetTests {
    @Test func `says the kernel's names and masks`() {
        let set: CapabilitySet = [.netAdmin, .sysAdmin]
        #expect(set.rawValue == 1 << 12 | 1 << 21)
        #expect(set.description == "cap_net_admin, cap_sys_admin")
        #expect(CapabilitySet(rawValue: 1 << 62).description == "62")
        #expect(CapabilitySet().description == "none")
    }

    @Test(.enabled(if: geteuid() == 0, "needs root"))
    func `names what is missing`() async {
        await #expect(processExitsWith: .success) {
            try CapabilitySet([.netAdmin, .kill]).keepOnlyThese()
            let missing = try CapabilitySet([.netAdmin, .sysAdmin]).missing()
            precondition(missing == .sysAdmin)
            exit(0)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root"))
    func `gives up everything else for good`() async {
        await #expect(processExitsWith: .success) {
            try CapabilitySet([.netAdmin]).keepOnlyThese()
            let (effective, permitted) = (try CapabilitySet.effective(), try CapabilitySet.permitted())
            precondition(effective == .netAdmin && permitted == .netAdmin)
            exit(0)
        }
        await #expect(processExitsWith: .success) {
            try CapabilitySet([.setPCap]).keepOnlyThese()
            precondition(CapabilitySet.bounding() == .setPCap)
            try CapabilitySet().keepOnlyThese()
            let permitted = try CapabilitySet.permitted()
            precondition(permitted.isEmpty)
            exit(0)
        }
    }
}
