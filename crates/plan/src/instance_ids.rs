//! Instance ids: a keyed sequence, so that a crash, a late request or a second leader picks the *same* name and
//! gets `AlreadyExists` instead of making a surplus pod (`design.md` 5).
//!
//! Pure: what is taken is an argument; nothing is drawn at random.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Kruise's alphabet: no vowels and no look-alikes, so that no word and no ambiguity arises.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters of an id.
const LENGTH: usize = 5;

/// The ids of the CloneSet with this UID, in order, without those that are taken. Endless: 14 million ids exist,
/// and a set that held them all could not be created.
pub fn instance_ids<'a>(uid: &'a str, taken: &'a BTreeSet<&'a str>) -> impl Iterator<Item = String> + 'a {
    let mut used: BTreeSet<String> = BTreeSet::new();
    (0_u64..)
        .map(move |index| encode(&Sha256::digest(format!("{uid}/{index}")), LENGTH))
        .filter(move |id| !taken.contains(id.as_str()) && used.insert(id.clone()))
}

/// The first `length` safe letters of a digest.
pub(crate) fn encode(digest: &[u8], length: usize) -> String {
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(*byte) % ALPHABET.len())
            .copied()
            .map_or('b', char::from)
    };
    digest.iter().take(length).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(uid: &str, taken: &[&str], count: usize) -> Vec<String> {
        let taken: BTreeSet<&str> = taken.iter().copied().collect();
        instance_ids(uid, &taken).take(count).collect()
    }

    #[test]
    fn the_same_set_always_gets_the_same_ids_in_the_same_order() {
        let ids = first("uid-1", &[], 4);
        assert_eq!(ids, first("uid-1", &[], 4));
        assert_ne!(ids, first("uid-2", &[], 4));
        let rest: Vec<_> = ids.iter().skip(1).cloned().collect();
        assert_eq!(
            first("uid-1", &[&ids[0]], 3),
            rest,
            "a taken id is skipped, the others keep their order"
        );
    }

    #[test]
    fn ten_thousand_ids_are_distinct_and_well_formed() {
        let ids = first("uid", &[], 10_000);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 10_000);
        assert!(
            ids.iter()
                .all(|id| id.len() == LENGTH && id.bytes().all(|b| ALPHABET.contains(&b)))
        );
    }
}
