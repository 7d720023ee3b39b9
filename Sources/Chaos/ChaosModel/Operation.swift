/// What a token allows its bearer to do, once.
package enum Operation: String, CaseIterable, Sendable {
    /// Begin a session.
    case inject
    /// Say what `inject` would do, and do nothing.
    case plan
    /// See one session, its events, or the list of the tenant's sessions.
    case read
    /// Renew a session's lease.
    case renew
    /// End a session before its deadline.
    case end
}
