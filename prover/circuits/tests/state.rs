//! Hashes, the account tree, the directory and the state, without any circuit.

use _native::directory::Directory;
use _native::field::{elements_from_bytes, from_bytes, job_digest, key_digest, parent, to_bytes};
use _native::field::{Digest, F};
use _native::state::State;
use _native::transfer::Transfer;
use _native::tree::{Account, Tree, ACCOUNTS_MAX};
use plonky2::field::types::{Field, Field64};

#[test]
fn bytes_of_digests_are_canonical() {
    let digest = key_digest(&[7; 32]);
    assert_eq!(from_bytes(&to_bytes(digest)), Some(digest));
    let mut above = [0; 32];
    above[..8].copy_from_slice(&F::ORDER.to_le_bytes());
    assert_eq!(from_bytes(&above), None);
    assert_eq!(elements_from_bytes(&[0; 9]), None);
}

#[test]
fn equal_elements_under_different_tags_have_different_hashes() {
    let bytes = [3; 32];
    assert_ne!(key_digest(&bytes), job_digest(&bytes));
}

fn account(seed: u8) -> Account {
    Account {
        key: [seed; 32],
        key_digest: key_digest(&[seed; 32]),
        balance: u64::from(seed),
        nonce: 0,
    }
}

#[test]
fn building_at_once_equals_inserting_one_by_one() {
    let accounts: Vec<Account> = (0..7).map(account).collect();
    let mut grown = Tree::new([]);
    for (index, account) in accounts.iter().enumerate() {
        grown = grown.with(index, account.clone());
    }
    let built = Tree::new(accounts.clone());
    assert_eq!(grown.root(), built.root());
    assert!(built.accounts().into_iter().eq(&accounts));
    assert_eq!(built.get(7), None);
}

#[test]
fn siblings_lead_from_every_place_to_the_root() {
    let tree = Tree::new((0..5).map(account));
    for index in [0, 1, 4, 5, ACCOUNTS_MAX - 1] {
        let bottom = tree.get(index).map_or(Digest::ZERO, Account::hash);
        let top =
            tree.siblings(index)
                .into_iter()
                .enumerate()
                .fold(bottom, |node, (level, sibling)| {
                    match (index >> level) & 1 {
                        0 => parent(node, sibling),
                        _ => parent(sibling, node),
                    }
                });
        assert_eq!(top, tree.root());
    }
}

#[test]
fn an_update_leaves_the_old_value_alone() {
    let before = Tree::new((0..3).map(account));
    let root = before.root();
    let after = before.with(1, account(9));
    assert_ne!(after.root(), root);
    assert_eq!(before.root(), root);
    assert_eq!(before.get(1), Some(&account(1)));
}

#[test]
fn finds_what_was_put_in_and_nothing_else() {
    let keys: Vec<Digest> = (0..200).map(|seed| key_digest(&[seed; 32])).collect();
    let mut directory = Directory::default();
    for (place, key) in keys[..100].iter().enumerate() {
        directory = directory.with(*key, place);
    }
    for (place, key) in keys.iter().enumerate() {
        assert_eq!(directory.get(key), (place < 100).then_some(place));
    }
    assert_eq!(directory.with(keys[3], 7).get(&keys[3]), Some(7));
    assert_eq!(directory.get(&keys[3]), Some(3));
}

/// A move to an account that is not there yet, read slot by slot.
#[test]
fn a_witness_shows_each_place_as_the_circuit_meets_it() {
    let state = State::genesis(&[([1; 32], 100)]).unwrap();
    let move_on = Transfer {
        sender: [1; 32],
        recipient: [2; 32],
        amount: 30,
        fee: 5,
        nonce: 0,
    };
    let slots = state.witness(std::slice::from_ref(&move_on)).unwrap();
    let number = F::from_canonical_u64;
    assert_eq!(
        (slots[0].sender.index, slots[0].sender.balance),
        (F::ZERO, number(100))
    );
    assert_eq!(
        (slots[0].recipient.index, slots[0].recipient.balance),
        (F::ONE, F::ZERO)
    );
    assert_eq!((slots[0].active, slots[0].creates), (F::ONE, F::ONE));
    assert_eq!((slots[1].active, slots[1].creates), (F::ZERO, F::ZERO));
    assert_eq!(slots[1].sender.balance, number(65));
    let after = state.execute(&[move_on]).unwrap().state;
    assert_eq!(
        after.account(&[2; 32]).map(|account| account.balance),
        Some(30)
    );
    assert_eq!((after.total(), after.account_count()), (95, 2));
}
