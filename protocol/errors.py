"""Why something is refused, as data.

One enum of reasons with a sentence each. ``Refused`` carries a reason out of code that reads what
somebody else wrote: it is the only exception that foreign bytes can cause. A broken invariant of
ours is an AssertionError and is never turned into a refusal.
"""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Every refusal has one of these; the value is the sentence that a person reads."""

    # bytes and shape
    TOO_LARGE = "the message is larger than its kind may be"
    NOT_CANONICAL = "the bytes are not the canonical encoding of their content"
    WRONG_SHAPE = "the message does not have the fields, lengths or ranges of its kind"
    UNKNOWN_KIND = "the message is of no known kind"
    WRONG_NETWORK = "the message belongs to another network"
    # authenticity and replay
    BAD_SIGNATURE = "the signature does not match the sender and the content"
    BAD_VRF_PROOF = "the VRF proof does not verify under the registered key"
    DUPLICATE = "the same message was seen before"
    EXPIRED = "the message's last valid tick has passed"
    VALID_TOO_LONG = "the message wants to stay valid for more than one epoch"
    # ordering
    NOT_A_VALIDATOR = "the sender has no log stake"
    FUTURE_SLOT = "the slot has not begun"
    PAST_SLOT = "the slot is so long over that only a certified block could still count"
    WRONG_SLOT = "a block's slot comes after its parent's, and a vote's slot is its block's"
    WRONG_HEIGHT = "the height is not the parent's plus one"
    WRONG_OPERATIONS = "the operations are not those that the header names"
    BAD_CERTIFICATE = "the certificate does not prove that its block is notarised"
    PAST_EPOCH = "the message belongs to an epoch of the log that is over"
    LATER_EPOCH = "the message belongs to an epoch of the log that has not begun here"
    BEYOND_BORDER = "above the last block of an epoch only empty blocks are valid"
    WRONG_SUCCESSORS = "the header names other validators for the next epoch"
    OFF_FINAL_CHAIN = "the block does not extend the last final block"
    # genesis
    MALFORMED_GENESIS = "the genesis cannot be read"
    CONTRADICTORY_GENESIS = "the genesis contradicts itself"
    UNKNOWN_RULE = "there is no such rule"
    UNTYPED_STATE = "the rule does not say of which type its state is"
    # ledger and registration
    FEE_UNPAYABLE = "the sender cannot pay the operation's fee"
    NO_PROVER_STAKE = "the prover has no stake, or less than one unit"
    NOT_A_SEQUENCER = "the sender has less sequencer stake than a sequencer needs"
    EMPTY_AMOUNT = "the amount is zero"
    OWN_ACCOUNT = "the sender names itself as the other side"
    BALANCE_TOO_LOW = "the sender's balance does not cover the amount"
    STAKE_TOO_LOW = "the sender has less of this stake there than it wants to take out"
    OTHER_VRF_KEY = "the account has registered another VRF key"
    NOT_LENT = "sequencer stake cannot be lent"
    NO_DELEGATE = "the delegate has no stake of this kind of its own"
    UNHANDLED_KIND = "neither rule of this network handles this kind of operation"
    # sequencing
    WRONG_ROUND = "the round is over, not open yet, or in another phase"
    ALREADY_COMMITTED = "the sequencer has already committed to this round"
    BOND_NOT_COVERED = "the sequencer's free stake does not cover the bond of another block"
    NOT_THE_LEADER = "the sender was not elected in this round"
    ALREADY_REVEALED = "the round's block is sealed already"
    WRONG_REVEAL = "the reveal does not match the commitment"
    WRONG_PARENT = "the block does not build on the head of the rollup"
    FEES_NOT_BACKED = "the open jobs' fees together are more than the rollup holds"
    # proving
    EMPTY_INTENT = "the intent offers no capacity or has passed already"
    UNKNOWN_JOB = "the job is not open"
    NO_SUCH_TREE_NODE = "the job's tree has no such tree node"
    ALREADY_RECORDED = "a proof of this tree node is recorded already"
    NO_RIGHT = "the sender holds no right to this tree node"
    TOO_EARLY = "the minimal proving time has not passed"
    INPUTS_MISSING = "the children of this merge are not recorded yet"
    WRONG_CHILDREN = "the claim does not build on the recorded claims of the children"
    INTENT_TOO_LONG = "the intent reaches further ahead than it may"
    ALREADY_OFFERED = "a proof of the sender waits to be decided on already"
    NOTHING_OFFERED = "no such proof waits for the owner of the merge above"
    NO_UNCLES = "nothing follows here from proofs that were not recorded"
    NOT_RECORDED = "no proof of this tree node is recorded yet: deliver it"
    ALREADY_SHOWN = "a proof of the sender is recorded or claimed already"
    TOO_MANY_UNCLES = "as many proofs of this tree node are claimed as may be"
    CLAIM_TOO_LATE = "the time for claims is over"
    NO_VOTE_OPEN = "there is no vote on slashing this prover now"
    ALREADY_VOTED = "the validator has voted on this slash already"
    # awards
    BID_FOR_ANOTHER = "the bid is for another sequencer's block"
    BID_EXPIRED = "the bid's last valid tick has passed"
    NOT_AWAITED = "no block of this sequencer and round is to come"
    ALREADY_AWARDED = "the block is promised to a prover already"
    BOND_TOO_LOW = "the bid pledges less than the bond that is due"
    BOND_UNPAYABLE = "the prover's balance does not cover its bond"
    PRICE_UNPAYABLE = "the sequencer's balance does not cover the price"
    TOO_MANY_BIDS = "the prover has bid for this block too often"
    # evidence
    NOT_EVIDENCE = "what was reported is no fault"
    ALREADY_PUNISHED = "this fault was punished before"
    EVIDENCE_TOO_OLD = "the fault is older than evidence may be"
    # the replica
    TOO_MANY_PENDING = "too many operations wait to be ordered, or too many of this sender"
    TOO_MANY_BODIES = "the block carries more bodies than may be checked in time"
    WRONG_STATE = "the header's state digest is not that of the settled log"
    # bodies and proofs
    BODY_MISSING = "the bytes that the message names could not be fetched"
    INVALID_PROOF = "the proof does not prove the statement it was announced for"
    # transfers
    FEE_TOO_HIGH = "the transfer's fee is larger than a proof can hold"
    STALE_NONCE = "the transfer's nonce was used before"
    NONCE_TOO_FAR = "the transfer's nonce is too far ahead of its sender's account"
    CANNOT_PAY = "the sender cannot pay for this transfer and those it has waiting"
    FEE_BUMP_TOO_LOW = "a waiting transfer is replaced only by one with a clearly higher fee"
    POOL_FULL = "the pool is full of transfers that are worth at least as much"
    # block bodies
    WRONG_LEAF_COUNT = "the number of leaves is not a power of two up to 256"
    WRONG_STATE_BEFORE = "the block does not start from the state's root"
    WRONG_BODY = "the body does not have the hash that the block's content names"
    BODY_LEAF_COUNT = "the body does not have as many leaves as the block's content"
    LEAF_TOO_FULL = "a leaf of the body holds more transfers than a proof can"
    NOT_EXECUTABLE = "a transfer of the body cannot be applied to the state"
    WRONG_TRANSFER_DIGEST = "a leaf's digest is not that of its transfers"
    WRONG_FEES = "a leaf's fees are not the sum of those of its transfers"
    WRONG_STATE_AFTER = "a leaf's root is not that of the state after its transfers"
    # snapshots
    UNPROVEN_STATE = "no certified header that follows names this state"
    UNTRUSTED_SET = "its validators are not those that are trusted"
    WRONG_ACCOUNTS = "the accounts do not have the root of the settled state"
    # light client
    UNKNOWN_SET = "the members of the next set of validators are not known"
    WRONG_PROVER_COUNT = "there is not exactly one prover for each tree node"
    BROKEN_CHAIN = "the log block does not extend the one before it"


class Refused(Exception):
    """Foreign input was refused.

    :param reason: which rule it broke.
    :param detail: what in particular, for a person; may be empty.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
