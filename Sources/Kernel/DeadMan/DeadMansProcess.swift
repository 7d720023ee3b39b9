internal import CLinux
package import Cgroups
internal import Glibc
package import LinuxSystem
internal import Namespaces
package import Processes

/// Why nothing can be entrusted to the dead-man's process.
package struct DeadMansError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = "the dead-man's process: \(description)" }
}

/// The process that undoes what is overdue when this one cannot: `squall-deadman`, in a cgroup of its own at the top of
/// the node's hierarchy and in the node's own namespaces, so that it outlives this process's container.
///
/// What is entrusted to it is in a slot. One of the two may undo it at any time, decided by a compare-and-swap: this
/// process under a claim, which lapses unless it is renewed; the other one when the deadline has passed and there is no
/// claim. So there are never two undoers, and always one.
package final class DeadMansProcess {
    /// The name of its cgroup.
    package static let cgroup = "squall-deadman"
    /// How long a claim lasts: much longer than what is done under it takes, and short enough for whoever waits.
    package static let claim = Duration.seconds(1)
    private static let patience = timeval(tv_sec: 1, tv_usec: 0)

    private let executable: Executable
    private let tree: CgroupTree
    private let mark: String
    private let capabilities: UInt64
    private let memory: DeadMansMemory
    /// Stands for a target that does not end.
    private let never: BootTimer
    private var instance: Instance
    private var entries: [Int: Entry] = [:]
    private var isTaken = [Bool](repeating: false, count: DeadMansMemory.slotCount)
    private var nextSlot = 1

    package struct Slot: Hashable, Sendable {
        fileprivate let index: Int
    }

    /// What it takes to entrust a slot again, to another process or under another number.
    private struct Entry {
        var files: [HeldFile]
        var span: Int
        var claim: SlotOwner
        let tag: UInt64
        /// The deadline has become an earlier one, which the process does not know.
        var isEarlier: Bool
    }

    private final class Instance {
        let process: ProcessHandle
        let control: OwnedDescriptor

        init(_ process: consuming ProcessHandle, _ control: consuming OwnedDescriptor) {
            self.process = process
            self.control = control
        }
    }

    /// - Parameter mark: Names the agent among those that may have been on this node: a successor looks for it.
    /// - Parameter available: What it may be given, as a mask of capabilities: nothing that it may have to undo needs others.
    package init(
        running executable: Executable, in tree: CgroupTree, mark: String, among available: UInt64 = .max
    ) throws(DeadMansError) {
        self.executable = executable
        capabilities = Self.capabilities & available
        self.tree = tree
        self.mark = mark
        do throws(SystemCallError) {
            memory = try DeadMansMemory()
            never = try BootTimer()
        } catch {
            throw DeadMansError("\(error)")
        }
        instance = try Self.start(
            executable, memory: memory, in: tree, mark: mark, capabilities: capabilities)
    }

    /// Called when another process has taken its place.
    package var onReplacement: () -> Void = {}

    /// Becomes readable when the process has ended; open as long as what comes with it.
    package var processDescriptor: (rawValue: Int32, holder: AnyObject) {
        (instance.process.descriptor.rawValue, instance)
    }
    package var processID: Int32 { instance.process.id }
}

// MARK: - Slots

extension DeadMansProcess {
    /// Entrusts a program, under a claim. It is the process's when this returns, whatever happens to us.
    ///
    /// - Parameters:
    ///   - files: What the program's calls are made on; they stay the caller's.
    ///   - target: A pidfd. With its end, and nobody here, the program runs at once, so that nothing is held open.
    package func entrust(
        _ program: DeadMansProgram, tag: UInt64, files: [Int32], target: Int32?, deadline: BootInstant
    ) throws(DeadMansError) -> Slot {
        let span = DeadMansMemory.span(of: program)
        guard let index = freeSlots(span) else { throw DeadMansError("it has no room for more") }
        var held: [HeldFile] = []
        do throws(SystemCallError) {
            for raw in [target ?? never.descriptor.rawValue] + files { held.append(try HeldFile(copying: raw)) }
        } catch {
            throw DeadMansError("\(error)")
        }
        let claim = SlotOwner.claimed(until: .now + Self.claim)
        memory.write(program, tag: tag, deadline: deadline, to: index)
        guard memory.change(index, from: .free, to: claim) else { throw DeadMansError("slot \(index) is in use") }
        entries[index] = Entry(files: held, span: span, claim: claim, tag: tag, isEarlier: false)
        for each in index..<index + span { isTaken[each] = true }
        do throws(DeadMansError) {
            try hold(index)
        } catch {
            // Perhaps it has just died.
            do throws(DeadMansError) {
                try replace()
            } catch {
                forget(index)
                throw error
            }
        }
        return Slot(index: index)
    }

    /// Takes what is in a slot, to change it or to undo it. False when the process was first, and has undone it.
    package func claim(_ slot: Slot) -> Bool {
        let claim = SlotOwner.claimed(until: .now + Self.claim)
        guard let old = entries[slot.index]?.claim else { return false }
        guard memory.change(slot.index, from: .armed, to: claim) || memory.change(slot.index, from: old, to: claim)
        else {
            waitUntilFired(slot)
            return false
        }
        entries[slot.index]?.claim = claim
        return true
    }

    /// Puts another program into a claimed slot. The new slot is the same one, or takes its place.
    package func replace(
        _ slot: Slot, with program: DeadMansProgram, deadline: BootInstant
    ) throws(DeadMansError) -> Slot {
        guard let entry = entries[slot.index] else { throw DeadMansError("slot \(slot.index) is free") }
        if DeadMansMemory.span(of: program) <= entry.span {
            // Under the claim nobody reads it.
            if deadline < memory.deadline(of: slot.index) { entries[slot.index]?.isEarlier = true }
            memory.write(program, tag: entry.tag, deadline: deadline, to: slot.index)
            return slot
        }
        let files = entry.files.map { $0.descriptor.rawValue }
        let new = try entrust(
            program, tag: entry.tag, files: Array(files.dropFirst()), target: files[0], deadline: deadline)
        letGo(slot)
        return new
    }

    /// Gives a claimed slot back to the process. False when the claim had lapsed, and the process has undone it.
    package func arm(_ slot: Slot) -> Bool {
        guard let entry = entries[slot.index] else { return false }
        guard memory.change(slot.index, from: entry.claim, to: .armed) else {
            waitUntilFired(slot)
            return false
        }
        if entry.isEarlier {
            entries[slot.index]?.isEarlier = false
            wake()
        }
        return true
    }

    private func wake() {
        do throws(DeadMansError) {
            try ask(DEADMAN_WAKE, slot: 0)
        } catch {
            // It hangs, or has just died: another one looks at every deadline.
            try? replace()
        }
    }

    /// Empties a slot: what was in it is undone.
    package func letGo(_ slot: Slot) {
        guard let claim = entries[slot.index]?.claim else { return }
        if !memory.change(slot.index, from: claim, to: .free), !memory.change(slot.index, from: .armed, to: .free) {
            waitUntilFired(slot)
        }
        forget(slot.index)
        // One that is not there any more has let go of its files.
        try? tell(DEADMAN_LET_GO, slot: slot.index)
    }

    private func forget(_ index: Int) {
        guard let entry = entries.removeValue(forKey: index) else { return }
        _ = memory.change(index, from: entry.claim, to: .free) || memory.change(index, from: .fired, to: .free)
        // A child that waits for a file system still reads the program: these stay out of use.
        guard memory.owner(of: index) == .free else { return }
        for each in index..<index + entry.span {
            memory.clear(each)
            isTaken[each] = false
        }
    }

    private func waitUntilFired(_ slot: Slot) {
        let limit = BootInstant.now + .milliseconds(500)
        while memory.owner(of: slot.index) == .firing, .now < limit { usleep(500) }
    }

    private func freeSlots(_ span: Int) -> Int? {
        for start in [nextSlot, 1] {
            var run = 0
            for index in start..<isTaken.count {
                run = isTaken[index] ? 0 : run + 1
                if run == span {
                    nextSlot = index + 1 < isTaken.count ? index + 1 : 1
                    return index + 1 - span
                }
            }
        }
        return nil
    }
}

// MARK: - The process

extension DeadMansProcess {
    /// Starts another process in the place of one that has ended or does not answer. Everything entrusted is kept.
    package func replace() throws(DeadMansError) {
        do throws(SystemCallError) {
            guard try instance.process.kill(waitingAtMost: .seconds(1)) else {
                throw SystemCallError("kill", on: "process \(processID)", errno: .timedOut)
            }
        } catch {
            throw DeadMansError("\(error)")
        }
        // Done already, if an earlier attempt went no further than this.
        _ = try? instance.process.reap()
        instance = try Self.start(
            executable, memory: memory, in: tree, mark: mark, capabilities: capabilities)
        onReplacement()
        for index in entries.keys { try hold(index) }
    }

    /// Ends the process, when nothing is entrusted to it any more.
    package func end() {
        guard (try? ask(DEADMAN_LEAVE, slot: 0)) != nil else { return }
        if instance.process.waitUntilEnded(atMost: .seconds(1)) { _ = try? instance.process.reap() }
    }

    private func hold(_ index: Int) throws(DeadMansError) {
        try ask(DEADMAN_HOLD, slot: index, files: entries[index]?.files.map { $0.descriptor.rawValue } ?? [])
    }

    private func tell(_ request: some BinaryInteger, slot: Int, files: [Int32] = []) throws(SystemCallError) {
        var message = deadman_message(request: UInt32(request), slot: UInt32(slot), result: Int32(files.count))
        let size = MemoryLayout<deadman_message>.size
        let control = instance.control.rawValue
        try systemCall("sendmsg", on: "process \(processID)") {
            clinux_send_with_files(control, &message, size, files, files.count)
        }
    }

    private func ask(_ request: some BinaryInteger, slot: Int, files: [Int32] = []) throws(DeadMansError) {
        var message = deadman_message()
        let size = MemoryLayout<deadman_message>.size
        let control = instance.control.rawValue
        do throws(SystemCallError) {
            try tell(request, slot: slot, files: files)
            // Others answer what was given up.
            repeat {
                let count = try systemCall("recv", on: "process \(processID)") { recv(control, &message, size, 0) }
                guard count == size else {
                    throw SystemCallError("recv", on: "process \(processID)", errno: .noProcess)
                }
            } while message.request != UInt32(request) || message.slot != UInt32(slot)
        } catch {
            throw DeadMansError("it does not answer: \(error)")
        }
        if message.result != 0 {
            throw DeadMansError("it refuses slot \(slot): \(Errno(rawValue: -message.result))")
        }
    }

    private static func start(
        _ executable: Executable, memory: DeadMansMemory, in tree: CgroupTree, mark: String,
        capabilities: UInt64
    ) throws(DeadMansError) -> Instance {
        do {
            var pair: [Int32] = [-1, -1]
            try systemCall("socketpair", on: "squall-deadman") {
                socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
            }
            let control = OwnedDescriptor(adopting: pair[0])
            let theirs = OwnedDescriptor(adopting: pair[1])
            var patience = Self.patience
            try systemCall("setsockopt SO_RCVTIMEO", on: "squall-deadman") {
                setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            }
            var order = SpawnOrder(executable: executable, arguments: ["squall-deadman", mark, cgroup])
            order.signalAtParentDeath = 0
            order.capabilities = capabilities
            order.outOfMemoryScore = -1000
            // Its parents' cgroups, mounts and network go with the container; the node's do not.
            let mount = try NamespaceHandle(.mount, ofProcess: 1)
            let network = try NamespaceHandle(.network, ofProcess: 1)
            let ipc = try NamespaceHandle(.ipc, ofProcess: 1)
            let uts = try NamespaceHandle(.uts, ofProcess: 1)
            order.namespaces = [
                ipc.descriptor.rawValue, uts.descriptor.rawValue, network.descriptor.rawValue,
                mount.descriptor.rawValue,
            ]
            let process = try startInCgroup(&order, memory: memory, control: theirs.rawValue, in: tree)
            return Instance(process, control)
        } catch {
            throw DeadMansError("\(error)")
        }
    }

    /// A predecessor that ends takes the cgroup with it, perhaps between our making it and our entering it.
    private static func startInCgroup(
        _ order: inout SpawnOrder, memory: DeadMansMemory, control: Int32, in tree: CgroupTree
    ) throws -> ProcessHandle {
        // Open until the process has them.
        let roots = try tree.roots
        defer { withExtendedLifetime(roots) {} }
        var attempt = 1
        while true {
            do {
                let made = try tree.makeCgroup(named: cgroup)
                order.placement = try made.placement()
                order.descriptors = [
                    .init(source: memory.descriptor.rawValue, target: Int32(DEADMAN_MEMORY)),
                    .init(source: control, target: Int32(DEADMAN_CONTROL)),
                ]
                for (index, root) in roots.enumerated() {
                    order.descriptors.append(
                        .init(source: root.descriptor.rawValue, target: Int32(DEADMAN_CGROUPS) + Int32(index)))
                }
                return try spawn(order)
            } catch {
                if let error = error as? SpawnError, error.stage == .outOfMemoryScore {
                    // Not ours to choose here; it is small enough not to be chosen.
                    order.outOfMemoryScore = nil
                } else if attempt == 3 {
                    throw error
                }
                attempt += 1
            }
        }
    }

    /// CAP_NET_ADMIN for netlink, CAP_KILL for workers; CAP_DAC_OVERRIDE and CAP_FOWNER for files and cgroups of others;
    /// CAP_SYS_TIME for the clock.
    private static var capabilities: UInt64 { 1 << 25 | 1 << 12 | 1 << 5 | 1 << 3 | 1 << 1 }
}

/// A descriptor that several may hold.
private final class HeldFile {
    let descriptor: OwnedDescriptor

    init(copying raw: Int32) throws(SystemCallError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("fcntl F_DUPFD_CLOEXEC", on: "descriptor \(raw)") {
                clinux_fcntl(raw, F_DUPFD_CLOEXEC, 3)
            })
    }
}
