//! "Did you mean …?": the nearest of the names that would have been right.

/// The least number of letters to insert, delete, replace or swap with their neighbour that turns
/// `a` into `b` (optimal string alignment distance; L. Boytsov, "Indexing methods for approximate
/// dictionary searching", 2011, section 2.2).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The candidate nearest to `name`, where it is near enough to be meant: one mistake in three letters.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() + 1).max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` or, with nothing near, ``; expected one of: a, b`` or nothing at all.
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("; did you mean `{near}`?");
    }
    let mut all: Vec<&str> = candidates.into_iter().collect();
    all.dedup();
    // A longer list hides the message that it should explain.
    if all.is_empty() || all.len() > 30 {
        String::new()
    } else {
        format!("; expected one of: {}", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let keys = ["window", "slide", "min_samples", "of"];
        assert_eq!(nearest("widnow", keys), Some("window"));
        assert_eq!(nearest("minSamples", keys), Some("min_samples"));
        assert_eq!(nearest("min-samples", keys), Some("min_samples"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(distance("ca", "abc"), 3);
        assert_eq!(hint("colour", ["a", "b"]), "; expected one of: a, b");
    }
}
