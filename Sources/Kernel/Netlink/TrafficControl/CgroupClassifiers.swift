internal import CLinux
import Glibc
package import LinuxSystem

/// Programs by which cls_bpf tells whose a packet is: one for each cgroup that is looked for at the same time. All are
/// loaded when this is made; which cgroup each of them looks for is written into a memory that they share with this process,
/// so that no code is loaded into the kernel later. A filter keeps its program, and that the memory, when this process ends.
///
/// The corresponding documents are `bpf(2)`, `tc-bpf(8)` and `bpf-helpers(7)` (`bpf_skb_ancestor_cgroup_id`, Linux 4.19).
package final class CgroupClassifiers {
    /// How many cgroups can be told from all others at once.
    package static let most = 32
    private static let stride = MemoryLayout<UInt64>.size

    private let programs: [Int32]
    private let memory: UnsafeMutableRawPointer
    /// The cgroup that each program looks for; 0 is none, and no cgroup's number.
    private var cgroups = [UInt64](repeating: 0, count: most)

    /// - Throws: `EPERM` without `CAP_SYS_ADMIN` (or `CAP_BPF` and `CAP_NET_ADMIN`), `EINVAL` on a kernel that knows less.
    package init() throws(SystemCallError) {
        // Before 5.11 the kernel counts them as locked memory, of which hardly any is allowed.
        (programs, memory) = try withoutLimitOfLockedMemory { () throws(SystemCallError) in try Self.load() }
    }

    private static func load() throws(SystemCallError) -> ([Int32], UnsafeMutableRawPointer) {
        let size = most * stride
        let shared = OwnedDescriptor(
            adopting: try systemCall("bpf BPF_MAP_CREATE", on: "classifiers") {
                clinux_classifier_memory(UInt32(size))
            })
        var programs: [Int32] = []
        do throws(SystemCallError) {
            for index in 0..<most {
                programs.append(
                    try systemCall("bpf BPF_PROG_LOAD", on: "classifier") {
                        clinux_classifier_program(shared.rawValue, UInt32(index * stride))
                    })
            }
            guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, shared.rawValue, 0),
                memory != MAP_FAILED
            else { throw SystemCallError("mmap", on: "classifiers", errno: Errno(rawValue: errno)) }
            return (programs, memory)
        } catch {
            for program in programs { close(program) }
            throw error
        }
    }

    deinit {
        munmap(memory, Self.most * Self.stride)
        for program in programs { close(program) }
    }

    /// The program that matches what processes of this cgroup, and of those below it, send; nil when all are taken.
    ///
    /// - Parameter cgroup: Its number, of version 2: the inode of its directory.
    func program(for cgroup: UInt64) -> Int32? {
        guard let index = cgroups.firstIndex(of: cgroup) ?? cgroups.firstIndex(of: 0) else { return nil }
        cgroups[index] = cgroup
        memory.storeBytes(of: cgroup, toByteOffset: index * Self.stride, as: UInt64.self)
        return programs[index]
    }

    /// Frees the programs for all other cgroups, which no filter may have any more.
    package func keep(only wanted: Set<UInt64>) {
        for index in cgroups.indices where cgroups[index] != 0 && !wanted.contains(cgroups[index]) {
            cgroups[index] = 0
            memory.storeBytes(of: 0, toByteOffset: index * Self.stride, as: UInt64.self)
        }
    }
}
