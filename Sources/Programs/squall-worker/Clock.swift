internal import Glibc

/// Nanoseconds of a clock.
///
/// The corresponding system call is `clock_gettime(2)`.
func now(_ clock: Int32) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Sleeps until an instant of `CLOCK_MONOTONIC`, in nanoseconds.
///
/// The corresponding system call is `clock_nanosleep(2)`.
func sleep(until instant: Int64) {
    var time = timespec(tv_sec: Int(instant / 1_000_000_000), tv_nsec: Int(instant % 1_000_000_000))
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
}
