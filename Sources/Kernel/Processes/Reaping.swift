internal import CLinux
package import LinuxSystem

/// Makes this process the parent of descendants whose own parents end.
///
/// The corresponding system call is `prctl(2)` with `PR_SET_CHILD_SUBREAPER`.
package func becomeSubreaper() throws(SystemCallError) {
    try systemCall("prctl PR_SET_CHILD_SUBREAPER", on: "this process") { clinux_become_subreaper() }
}

package struct ReapedChild: Hashable, Sendable {
    package let id: Int32
    package let exit: ProcessExit
}

/// Takes the exit statuses of all children that have ended, adopted ones too. Whoever waits for a child by its
/// `ProcessHandle` finds nothing after this.
///
/// The corresponding system call is `waitid(2)` with `P_ALL`.
package func reapEndedChildren() throws(SystemCallError) -> [ReapedChild] {
    var reaped: [ReapedChild] = []
    while true {
        var code: Int32 = 0
        var status: Int32 = 0
        do throws(SystemCallError) {
            let id = try systemCall("waitid", on: "any child") { clinux_wait_any(1, &code, &status) }
            if id == 0 { return reaped }
            reaped.append(ReapedChild(id: id, exit: ProcessExit(code: code, status: status)))
        } catch let error where error.errno == .noChild {
            return reaped
        }
    }
}
