//! The account tree: a persistent Merkle tree of fixed depth.
//!
//! A value never changes; an update shares everything but the path it touches. An empty subtree is
//! no node at all, its hash is known beforehand.

use std::sync::{Arc, LazyLock};

use plonky2::field::types::Field;

use crate::field::{parent, Digest, Preimage, F};

/// Levels between the root and the accounts: room for 2^20 accounts.
pub const TREE_DEPTH: usize = 20;

/// Most accounts a rollup can hold.
pub const ACCOUNTS_MAX: usize = 1 << TREE_DEPTH;

/// An account as it stands in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The owner's 32-byte key.
    pub key: [u8; 32],
    /// Digest of `key`, see [`crate::field::key_digest`].
    pub key_digest: Digest,
    /// Micro-units.
    pub balance: u64,
    /// Count of transfers sent so far.
    pub nonce: u64,
}

impl Account {
    /// The account's node at the bottom of the tree.
    pub fn hash(&self) -> Digest {
        let balance = F::from_canonical_u64(self.balance);
        let nonce = F::from_canonical_u64(self.nonce);
        Preimage::account(self.key_digest.elements, balance, nonce).hash()
    }
}

/// Hash of an empty subtree by its height; an empty place at the bottom is four zeros.
static EMPTY: LazyLock<[Digest; TREE_DEPTH + 1]> = LazyLock::new(|| {
    let mut hashes = [Digest::ZERO; TREE_DEPTH + 1];
    for height in 1..=TREE_DEPTH {
        hashes[height] = parent(hashes[height - 1], hashes[height - 1]);
    }
    hashes
});

/// A subtree; None when it is empty.
type Link = Option<Arc<Node>>;

#[derive(Debug)]
struct Node {
    hash: Digest,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Account(Account),
    Branch([Link; 2]),
}

impl Node {
    fn account(account: Account) -> Link {
        Some(Arc::new(Node {
            hash: account.hash(),
            content: Content::Account(account),
        }))
    }

    fn branch(height: usize, children: [Link; 2]) -> Link {
        let [left, right] = [0, 1].map(|side| hash(&children[side], height - 1));
        Some(Arc::new(Node {
            hash: parent(left, right),
            content: Content::Branch(children),
        }))
    }
}

fn hash(link: &Link, height: usize) -> Digest {
    link.as_ref().map_or(EMPTY[height], |node| node.hash)
}

fn children(link: &Link) -> [Link; 2] {
    match link.as_deref() {
        Some(Node {
            content: Content::Branch(children),
            ..
        }) => children.clone(),
        _ => [None, None],
    }
}

/// Which child of a node of this height is on the way to `index`.
fn side(index: usize, height: usize) -> usize {
    (index >> (height - 1)) & 1
}

/// The tree as an immutable value.
#[derive(Clone, Debug)]
pub struct Tree(Link);

impl Tree {
    /// The tree with these accounts at its first places. At most [`ACCOUNTS_MAX`].
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        let mut row: Vec<Link> = accounts.into_iter().map(Node::account).collect();
        for height in 1..=TREE_DEPTH {
            row = row
                .chunks(2)
                .map(|pair| {
                    let right = pair.get(1).cloned().flatten();
                    Node::branch(height, [pair[0].clone(), right])
                })
                .collect();
        }
        Self(row.pop().flatten())
    }

    /// Root hash.
    pub fn root(&self) -> Digest {
        hash(&self.0, TREE_DEPTH)
    }

    /// The account at a place.
    pub fn get(&self, index: usize) -> Option<&Account> {
        let mut node = self.0.as_deref()?;
        for height in (1..=TREE_DEPTH).rev() {
            let Content::Branch(children) = &node.content else {
                return None;
            };
            node = children[side(index, height)].as_deref()?;
        }
        match &node.content {
            Content::Account(account) => Some(account),
            Content::Branch(_) => None,
        }
    }

    /// The tree with another account at a place.
    pub fn with(&self, index: usize, account: Account) -> Self {
        fn replace(link: &Link, height: usize, index: usize, account: Account) -> Link {
            if height == 0 {
                return Node::account(account);
            }
            let mut children = children(link);
            let side = side(index, height);
            children[side] = replace(&children[side], height - 1, index, account);
            Node::branch(height, children)
        }
        Self(replace(&self.0, TREE_DEPTH, index, account))
    }

    /// Hashes of the siblings on the way from a place up to the root, lowest first.
    pub fn siblings(&self, index: usize) -> [Digest; TREE_DEPTH] {
        let mut siblings = *EMPTY.first_chunk().expect("one hash a height");
        let mut link = &self.0;
        for height in (1..=TREE_DEPTH).rev() {
            let Some(Content::Branch(children)) = link.as_deref().map(|node| &node.content) else {
                break;
            };
            let side = side(index, height);
            siblings[height - 1] = hash(&children[1 - side], height - 1);
            link = &children[side];
        }
        siblings
    }

    /// All accounts in the order of their places.
    pub fn accounts(&self) -> Vec<&Account> {
        fn collect<'a>(link: &'a Link, found: &mut Vec<&'a Account>) {
            match link.as_deref().map(|node| &node.content) {
                None => {}
                Some(Content::Account(account)) => found.push(account),
                Some(Content::Branch(children)) => {
                    children.iter().for_each(|child| collect(child, found))
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.0, &mut found);
        found
    }
}
