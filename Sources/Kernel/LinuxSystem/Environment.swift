import Glibc

/// A variable of the environment; nil where it is not set.
///
/// The corresponding call is `getenv(3)`.
package func environmentVariable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
