//! The rollup's accounts as an immutable value, and what transfers do to them.

use std::collections::HashSet;

use plonky2::field::types::Field;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::field::{key_digest, Digest, Preimage, F};
use crate::transfer::{InvalidTransfer, Transfer, AMOUNT_BITS, FEE_BITS};
use crate::tree::{Account, Tree, ACCOUNTS_MAX};
use crate::witness::{Entry, Slot, LEAF_TRANSFERS};

/// Accounts and their places. Accounts get the next free place when they first appear: those of the
/// genesis in their given order, then recipients as transfers name them.
#[derive(Clone, Debug)]
pub struct State {
    tree: Tree,
    directory: Directory,
    count: usize,
    total: u64,
}

/// A leaf's batch, executed.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The state after it.
    pub state: State,
    /// Chained hash of its transfers; zeros for none.
    pub digest: Digest,
    /// Sum of its fees in micro-units.
    pub fees: u64,
}

impl State {
    /// The first state of a rollup: keys and balances in micro-units.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no account (a leaf without transfers needs one to point at),
    /// when there are more than the tree holds, on a repeated key, and when the balances add up to
    /// 2^62 or more.
    pub fn genesis(accounts: &[([u8; 32], u64)]) -> Result<Self> {
        let fresh: Vec<_> = accounts
            .iter()
            .map(|&(key, balance)| (key, balance, 0))
            .collect();
        Self::restore(&fresh)
    }

    /// The state whose [`State::accounts`] these are: keys, balances in micro-units, next nonces.
    ///
    /// # Errors
    /// As [`State::genesis`].
    pub fn restore(accounts: &[([u8; 32], u64, u64)]) -> Result<Self> {
        let refuse = |sentence: String| Err(Error::Input(sentence));
        if accounts.is_empty() {
            return refuse("a rollup needs at least one account".into());
        }
        if accounts.len() > ACCOUNTS_MAX {
            return refuse(format!("a rollup holds at most {ACCOUNTS_MAX} accounts"));
        }
        let mut seen = HashSet::new();
        let mut total = 0_u64;
        for (index, (key, balance, nonce)) in accounts.iter().enumerate() {
            if *nonce >= 1 << AMOUNT_BITS {
                return refuse(format!(
                    "account {index}: its nonce is not below 2^{AMOUNT_BITS}"
                ));
            }
            if !seen.insert(key) {
                return refuse(format!("account {index}: its key appeared before"));
            }
            total = match total.checked_add(*balance) {
                Some(sum) if sum < 1 << AMOUNT_BITS => sum,
                _ => return refuse(format!("the balances add up to 2^{AMOUNT_BITS} or more")),
            };
        }
        let accounts: Vec<Account> = accounts
            .iter()
            .map(|&(key, balance, nonce)| Account {
                key,
                key_digest: key_digest(&key),
                balance,
                nonce,
            })
            .collect();
        let mut directory = Directory::default();
        for (place, account) in accounts.iter().enumerate() {
            directory = directory.with(account.key_digest, place);
        }
        Ok(Self {
            count: accounts.len(),
            tree: Tree::new(accounts),
            directory,
            total,
        })
    }

    /// Root of the account tree.
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// Sum of all balances in micro-units.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of accounts.
    pub fn account_count(&self) -> usize {
        self.count
    }

    /// The account with this key.
    pub fn account(&self, key: &[u8; 32]) -> Option<&Account> {
        self.tree.get(self.directory.get(&key_digest(key))?)
    }

    /// All accounts in the order of their places.
    pub fn accounts(&self) -> Vec<&Account> {
        self.tree.accounts()
    }

    /// Applies one leaf's batch.
    ///
    /// # Errors
    /// The first transfer that cannot be applied; one past [`LEAF_TRANSFERS`] never can.
    pub fn execute(&self, batch: &[Transfer]) -> std::result::Result<Executed, InvalidTransfer> {
        let mut executed = Executed {
            state: self.clone(),
            digest: Digest::ZERO,
            fees: 0,
        };
        self.for_each_step(batch, |transfer, step| {
            let [amount, fee, nonce] =
                [transfer.amount, transfer.fee, transfer.nonce].map(F::from_canonical_u64);
            executed.digest = Preimage::transfer(
                executed.digest.elements,
                step.slot.sender.key,
                step.slot.recipient.key,
                amount,
                fee,
                nonce,
            )
            .hash();
            executed.fees += transfer.fee;
            executed.state = step.after;
        })?;
        Ok(executed)
    }

    /// Everything the leaf circuit needs to know about a batch on this state: [`LEAF_TRANSFERS`]
    /// slots.
    ///
    /// # Errors
    /// The first transfer that cannot be applied.
    pub fn witness(
        &self,
        batch: &[Transfer],
    ) -> std::result::Result<Vec<Slot<F>>, InvalidTransfer> {
        let mut slots = Vec::with_capacity(LEAF_TRANSFERS);
        let mut last = self.clone();
        self.for_each_step(batch, |_, step| {
            slots.push(step.slot);
            last = step.after;
        })?;
        let first_account = last.tree.get(0).expect("a rollup has at least one account");
        let padding = Slot::padding(last.entry(0, first_account));
        slots.resize(LEAF_TRANSFERS, padding);
        Ok(slots)
    }

    fn for_each_step(
        &self,
        batch: &[Transfer],
        mut visit: impl FnMut(&Transfer, Step),
    ) -> std::result::Result<(), InvalidTransfer> {
        let mut state = self.clone();
        for (index, transfer) in batch.iter().enumerate() {
            let step = if index < LEAF_TRANSFERS {
                state.step(transfer)
            } else {
                Err(format!("a leaf has room for {LEAF_TRANSFERS} transfers"))
            };
            let step = step.map_err(|reason| InvalidTransfer { index, reason })?;
            state = step.after.clone();
            visit(transfer, step);
        }
        Ok(())
    }

    /// Applies one transfer: charges the sender, then credits the recipient.
    fn step(&self, transfer: &Transfer) -> std::result::Result<Step, String> {
        let (sender_place, sender) = self.admit(transfer)?;
        let sender_before = self.entry(sender_place, sender);
        let charged = Account {
            balance: sender.balance - transfer.amount - transfer.fee,
            nonce: sender.nonce + 1,
            ..sender.clone()
        };
        let mut after = self.clone();
        after.tree = after.tree.with(sender_place, charged);
        after.total -= transfer.fee;

        let recipient_digest = key_digest(&transfer.recipient);
        let found = after.directory.get(&recipient_digest);
        let recipient_place = found.unwrap_or(after.count);
        if found.is_none() {
            if after.count == ACCOUNTS_MAX {
                return Err("the rollup has no room for another account".into());
            }
            after.directory = after.directory.with(recipient_digest, recipient_place);
            after.count += 1;
        }
        let recipient = match after.tree.get(recipient_place) {
            Some(account) => account.clone(),
            None => Account {
                key: transfer.recipient,
                key_digest: recipient_digest,
                balance: 0,
                nonce: 0,
            },
        };
        let recipient_before = after.entry(recipient_place, &recipient);
        let credited = Account {
            balance: recipient.balance + transfer.amount,
            ..recipient
        };
        after.tree = after.tree.with(recipient_place, credited);
        let slot = Slot {
            active: F::ONE,
            amount: F::from_canonical_u64(transfer.amount),
            fee: F::from_canonical_u64(transfer.fee),
            sender: sender_before,
            creates: F::from_bool(found.is_none()),
            recipient: recipient_before,
        };
        Ok(Step { after, slot })
    }

    /// The sender's place and account, when it may send this transfer.
    fn admit(&self, transfer: &Transfer) -> std::result::Result<(usize, &Account), String> {
        if transfer.amount >> AMOUNT_BITS != 0 {
            return Err(format!("the amount is not below 2^{AMOUNT_BITS}"));
        }
        if transfer.fee >> FEE_BITS != 0 {
            return Err(format!("the fee is not below 2^{FEE_BITS}"));
        }
        let place = self.directory.get(&key_digest(&transfer.sender));
        let Some((place, sender)) = place.and_then(|place| Some((place, self.tree.get(place)?)))
        else {
            return Err("the sender has no account".into());
        };
        if transfer.nonce != sender.nonce {
            return Err(format!(
                "the nonce is {}, the sender's next is {}",
                transfer.nonce, sender.nonce
            ));
        }
        let cost = transfer.amount + transfer.fee;
        if cost > sender.balance {
            return Err(format!(
                "amount and fee are {cost}, the sender has {}",
                sender.balance
            ));
        }
        Ok((place, sender))
    }

    fn entry(&self, place: usize, account: &Account) -> Entry<F> {
        Entry {
            index: F::from_canonical_usize(place),
            key: account.key_digest.elements,
            balance: F::from_canonical_u64(account.balance),
            nonce: F::from_canonical_u64(account.nonce),
            siblings: self.tree.siblings(place).map(|sibling| sibling.elements),
        }
    }
}

struct Step {
    after: State,
    slot: Slot<F>,
}
