/// The one of some words that was probably meant by a word that is none of them; nil when nothing is near.
func suggestion(for word: String, among known: [String]) -> String? {
    let mistakes = known.map { (word: $0, count: distance(word, $0)) }.min { $0.count < $1.count }
    if let mistakes, mistakes.count <= max(1, word.count / 3) { return mistakes.word }
    // A part of a name is not near it, and says it all the same.
    let containing = known.filter { word.count >= 3 && $0.contains(word) }
    return containing.count == 1 ? containing.first : nil
}

/// How many letters must be put in, taken out, replaced, or swapped with the next to make one word the other.
private func distance(_ one: String, _ other: String) -> Int {
    let (one, other) = (Array(one), Array(other))
    var beforeLast: [Int] = []
    var last = Array(0...other.count)
    for row in 1...max(1, one.count) where !one.isEmpty {
        var current = [row]
        for column in 1...max(1, other.count) where !other.isEmpty {
            let replaced = last[column - 1] + (one[row - 1] == other[column - 1] ? 0 : 1)
            var least = min(replaced, last[column] + 1, current[column - 1] + 1)
            if row > 1, column > 1, one[row - 1] == other[column - 2], one[row - 2] == other[column - 1] {
                least = min(least, beforeLast[column - 2] + 1)
            }
            current.append(least)
        }
        (beforeLast, last) = (last, current)
    }
    return last[other.count]
}
