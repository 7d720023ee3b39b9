internal import CLinux

/// What `ps` and `/proc/PID/comm` call this process: a program that was executed by descriptor has a number for a name.
///
/// The corresponding system call is `prctl(2)` with `PR_SET_NAME`.
package func setProgramName(_ name: String) {
    _ = clinux_set_name(name)
}
