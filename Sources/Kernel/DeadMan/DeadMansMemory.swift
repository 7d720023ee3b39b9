internal import CLinux
internal import Glibc
internal import LinuxSystem

/// The memory that an engine and its dead-man's process share: see `deadman.h`.
final class DeadMansMemory {
    static let slotCount = Int(DEADMAN_SLOT_COUNT)
    private static let slotSize = Int(DEADMAN_SLOT_SIZE)
    private static let size = slotCount * slotSize
    private static let programOffset = MemoryLayout<deadman_slot>.size

    let descriptor: OwnedDescriptor
    private let base: UnsafeMutableRawPointer

    /// New and empty.
    convenience init() throws(SystemCallError) {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("memfd_create", on: "squall-deadman") {
                clinux_memfd_shared("squall-deadman-slots", Int64(Self.size))
            })
        try self.init(mapping: descriptor)
        header.pointee = deadman_header(
            magic: UInt32(DEADMAN_MAGIC), version: UInt32(DEADMAN_VERSION), highest: 0)
    }

    /// That of a process which another engine started; nil when it is of another kind.
    convenience init?(ofProcess id: Int32) throws(SystemCallError) {
        let descriptor = try OwnedDescriptor.open("/proc/\(id)/fd/\(DEADMAN_MEMORY)", O_RDWR)
        guard try descriptor.status(subject: "the slots of process \(id)").st_size == Self.size else { return nil }
        try self.init(mapping: descriptor)
        guard header.pointee.magic == DEADMAN_MAGIC, header.pointee.version == DEADMAN_VERSION else { return nil }
    }

    private init(mapping descriptor: consuming OwnedDescriptor) throws(SystemCallError) {
        let base = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.rawValue, 0)
        guard let base, base != MAP_FAILED else { throw SystemCallError("mmap", on: "slots", errno: .current) }
        self.base = base
        self.descriptor = descriptor
    }

    deinit { munmap(base, Self.size) }

    private var header: UnsafeMutablePointer<deadman_header> { base.assumingMemoryBound(to: deadman_header.self) }

    /// All that were ever used.
    var usedSlots: ClosedRange<Int>? {
        let highest = min(Int(header.pointee.highest), Self.slotCount - 1)
        return highest > 0 ? 1...highest : nil
    }

    /// How many slots a program takes.
    static func span(of program: DeadMansProgram) -> Int { span(ofBytes: program.bytes.count) }

    private static func span(ofBytes count: Int) -> Int { (programOffset + count + slotSize - 1) / slotSize }

    private func slot(_ index: Int) -> UnsafeMutablePointer<deadman_slot> {
        precondition((1..<Self.slotCount).contains(index), "no such slot")
        return (base + index * Self.slotSize).assumingMemoryBound(to: deadman_slot.self)
    }

    /// Only for a slot that nobody else may touch: one that is free, or claimed.
    func write(_ program: DeadMansProgram, tag: UInt64, deadline: BootInstant, to index: Int) {
        precondition(index + Self.span(of: program) <= Self.slotCount, "the program does not fit")
        let slot = slot(index)
        slot.pointee.deadline = deadline.nanoseconds
        slot.pointee.error = 0
        slot.pointee.tag = tag
        slot.pointee.is_slow = program.isSlow ? 1 : 0
        slot.pointee.length = UInt32(program.bytes.count)
        program.bytes.withUnsafeBytes {
            (UnsafeMutableRawPointer(slot) + Self.programOffset).copyMemory(
                from: $0.baseAddress ?? UnsafeRawPointer(slot), byteCount: $0.count)
        }
        header.pointee.highest = max(header.pointee.highest, UInt32(index))
    }

    /// What the slot undoes, by the name that `write` gave it.
    func tag(of index: Int) -> UInt64 { slot(index).pointee.tag }

    func deadline(of index: Int) -> BootInstant { BootInstant(nanoseconds: slot(index).pointee.deadline) }

    /// How many slots it takes, with the rest of its program.
    func span(of index: Int) -> Int {
        owner(of: index) == .free ? 1 : Self.span(ofBytes: Int(slot(index).pointee.length))
    }

    /// Takes the rest of a long program out of what may become slots.
    func clear(_ index: Int) {
        slot(index).pointee = deadman_slot()
    }

    func owner(of index: Int) -> SlotOwner { SlotOwner(rawValue: deadman_owner(slot(index))) }

    func change(_ index: Int, from: SlotOwner, to: SlotOwner) -> Bool {
        deadman_change_owner(slot(index), from.rawValue, to.rawValue) != 0
    }
}

/// Who may undo what a slot holds.
struct SlotOwner: Hashable {
    let rawValue: UInt64

    static let free = SlotOwner(rawValue: UInt64(DEADMAN_FREE))
    static let armed = SlotOwner(rawValue: UInt64(DEADMAN_ARMED))
    static let firing = SlotOwner(rawValue: UInt64(DEADMAN_FIRING))
    static let fired = SlotOwner(rawValue: UInt64(DEADMAN_FIRED))

    static func claimed(until instant: BootInstant) -> SlotOwner {
        SlotOwner(rawValue: UInt64(instant.nanoseconds))
    }

    var isClaim: Bool { rawValue > UInt64(DEADMAN_FIRED) }
}
