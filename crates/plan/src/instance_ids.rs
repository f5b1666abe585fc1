//! Instance ids: a keyed sequence, so that a crash, a late request or a second leader picks the *same* name and
//! gets `AlreadyExists` instead of making a surplus pod (`design.md` 5).
//!
//! Pure: what is taken is an argument; nothing is drawn at random.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Kruise's alphabet: no vowels and no look-alikes, so that no word and no ambiguity arises.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters of an id.
const LENGTH: usize = 5;

/// The ids of the CloneSet with this UID, in order, without those that are taken. Endless: 14 million ids exist,
/// and a set that held them all could not be created.
///
/// In a large set nearly every id that comes up is taken, so nothing is kept of those.
pub fn instance_ids<'a>(
    uid: &'a str,
    is_taken: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = String> + 'a {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let (mut seed, mut id) = (String::new(), String::new());
    (0_u64..).filter_map(move |index| {
        seed.clear();
        write!(seed, "{uid}/{index}").ok()?;
        id.clear();
        id.extend(letters(&Sha256::digest(&seed), LENGTH));
        (!is_taken(&id) && used.insert(id.clone())).then(|| id.clone())
    })
}

/// The first `length` safe letters of a digest.
pub(crate) fn encode(digest: &[u8], length: usize) -> String {
    letters(digest, length).collect()
}

fn letters(digest: &[u8], length: usize) -> impl Iterator<Item = char> {
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(*byte) % ALPHABET.len())
            .copied()
            .map_or('b', char::from)
    };
    digest.iter().take(length).map(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(uid: &str, taken: &[&str], count: usize) -> Vec<String> {
        instance_ids(uid, |id| taken.contains(&id)).take(count).collect()
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
