internal import CLinux

/// What it takes to undo something, as a row of calls for a process that knows nothing else. A call that finds nothing
/// to undo has done its work.
package struct DeadMansProgram: Hashable, Sendable {
    package private(set) var bytes: [UInt8] = []
    /// Its calls may wait, for a file system as an example.
    package private(set) var isSlow = false

    package init() {}

    /// Sends a route netlink request through the socket that is the slot's only file, if each of these lists is empty.
    package mutating func send(_ request: [UInt8], ifNothingIsListedBy lists: [[UInt8]] = []) {
        for (index, list) in lists.enumerated() {
            append(DEADMAN_SKIP_IF_LISTED, skip: lists.count - index, list)
        }
        append(DEADMAN_SEND, request)
    }

    /// Kills the process whose pidfd is the slot's only file.
    package mutating func kill() {
        append(DEADMAN_KILL, [])
    }

    /// Frees the slot's second file and takes its name out of the first, a directory.
    package mutating func remove(fileNamed name: String) {
        isSlow = true
        append(DEADMAN_EMPTY, file: 1, [])
        append(DEADMAN_UNLINK, Array(name.utf8) + [0])
    }

    /// Writes a line to the slot's only file, if one of these is in its place: a line that begins with its first word, and
    /// has all of its others.
    ///
    /// - Parameter takesLong: Whether the kernel may keep the writer.
    package mutating func restore(_ line: String, insteadOf others: some Sequence<String>, takesLong: Bool = false) {
        if takesLong { isSlow = true }
        append(DEADMAN_RESTORE, ([line] + others).flatMap { Array($0.utf8) + [0] })
    }

    /// Has the node's systemd carry out a call, as it is on the wire. The slot needs no file for it.
    package mutating func callSystemd(_ message: [UInt8]) {
        isSlow = true
        append(DEADMAN_CALL_SYSTEMD, message)
    }

    /// Steps the wall clock back, if it is as this step has left it. The slot needs no file for it.
    package mutating func stepBack(_ clock: SteppedClock) {
        append(DEADMAN_STEP_CLOCK_BACK, withUnsafeBytes(of: clock.asShared) { Array($0) })
    }

    private mutating func append(
        _ kind: some BinaryInteger, file: Int = 0, skip: Int = 0, _ data: [UInt8]
    ) {
        let action = deadman_action(
            kind: UInt16(kind), file: UInt8(file), skip: UInt8(skip), length: UInt32(data.count))
        withUnsafeBytes(of: action) { bytes += $0 }
        bytes += data
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
