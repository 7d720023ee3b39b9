import Glibc

/// Seconds since 1970 as people read them, in UTC.
///
/// The corresponding call is `gmtime_r(3)`.
func utc(_ seconds: Int64) -> String {
    var instant = time_t(seconds)
    var fields = tm()
    guard gmtime_r(&instant, &fields) != nil else { return "\(seconds)" }
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let date = "\(fields.tm_year + 1900)-\(padded(fields.tm_mon + 1))-\(padded(fields.tm_mday))"
    return "\(date) \(padded(fields.tm_hour)):\(padded(fields.tm_min)):\(padded(fields.tm_sec)) UTC"
}
