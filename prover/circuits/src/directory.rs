//! Where in the tree an account stands: a persistent map from key digests to places.
//!
//! A binary trie over the bits of the digest. Digests are hash outputs, so its depth is about the
//! logarithm of the number of accounts; making it one level deeper doubles an attacker's work.

use std::sync::Arc;

use plonky2::field::types::PrimeField64;

use crate::field::Digest;

/// The map as an immutable value; a clone costs nothing, an insertion shares all but one path.
#[derive(Clone, Debug, Default)]
pub struct Directory(Trie);

#[derive(Clone, Debug, Default)]
enum Trie {
    #[default]
    Empty,
    Entry(Digest, u32),
    Fork(Arc<[Trie; 2]>),
}

fn bit(key: &Digest, depth: usize) -> usize {
    let element = key.elements[depth / 64].to_canonical_u64();
    (element >> (depth % 64)) as usize & 1
}

impl Trie {
    fn with(&self, depth: usize, key: Digest, place: u32) -> Trie {
        match self {
            Trie::Entry(other, other_place) if *other != key => {
                let mut children = [Trie::Empty, Trie::Empty];
                children[bit(other, depth)] = Trie::Entry(*other, *other_place);
                Trie::Fork(Arc::new(children)).with(depth, key, place)
            }
            Trie::Empty | Trie::Entry(..) => Trie::Entry(key, place),
            Trie::Fork(children) => {
                let mut children = children.as_ref().clone();
                let side = bit(&key, depth);
                children[side] = children[side].with(depth + 1, key, place);
                Trie::Fork(Arc::new(children))
            }
        }
    }
}

impl Directory {
    /// The place of an account.
    pub fn get(&self, key: &Digest) -> Option<usize> {
        let mut trie = &self.0;
        for depth in 0.. {
            match trie {
                Trie::Fork(children) => trie = &children[bit(key, depth)],
                Trie::Entry(found, place) if found == key => return Some(*place as usize),
                Trie::Empty | Trie::Entry(..) => break,
            }
        }
        None
    }

    /// The map with one more account, or with another place for one it holds.
    pub fn with(&self, key: Digest, place: usize) -> Self {
        let place = u32::try_from(place).expect("the tree has fewer places than 2^32");
        Self(self.0.with(0, key, place))
    }
}
