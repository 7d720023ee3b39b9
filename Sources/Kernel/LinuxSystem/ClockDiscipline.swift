internal import CLinux
internal import Glibc

/// Whether something keeps the wall clock right, as an NTP client tells the kernel.
///
/// The corresponding system call is `adjtimex(2)`, which changes nothing with no mode.
package func isWallClockKept() throws(SystemCallError) -> Bool {
    var state = timex()
    try systemCall("adjtimex", on: "the clock") { adjtimex(&state) }
    return state.status & STA_UNSYNC == 0
}
