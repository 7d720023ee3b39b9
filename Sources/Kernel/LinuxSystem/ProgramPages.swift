internal import CLinux

/// Lets go of the pages of this program's own code and constants: of those that were needed only to start, none stays in
/// the process's memory. They stay in the file's cache as long as there is room, and are mapped again when they are used.
///
/// The corresponding system call is `madvise(2)` with `MADV_DONTNEED`; an error leaves them where they are.
package func letGoOfProgramPages() {
    clinux_let_go_of_program()
}
