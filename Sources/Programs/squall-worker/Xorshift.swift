/// Random enough that no file system compresses it and no two pages are alike, and fast.
struct Xorshift {
    private var state: UInt64 = 88_172_645_463_325_252

    /// - Parameter seed: Not 0, which has no successor.
    init(seed: UInt64 = 1) { state &*= seed }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
