//! Builds both circuits and writes their verifier data into `pinned/`.
//!
//! Run it after any change to a circuit, with `cargo run --release --bin pin`, and build again:
//! every node that runs another pin refuses the new proofs.

use std::path::Path;

use _native::circuits::Circuits;
use _native::pinned::{to_bytes, LEAF_FILE, MERGE_FILE};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crate_directory = std::env::var("CARGO_MANIFEST_DIR")?;
    let directory = Path::new(&crate_directory).join("pinned");
    let circuits = Circuits::build()?;
    for (name, circuit) in [
        (LEAF_FILE, &circuits.leaf.circuit),
        (MERGE_FILE, &circuits.merge.circuit),
    ] {
        std::fs::write(directory.join(name), to_bytes(circuit))?;
        let digest = circuit.verifier_only.circuit_digest;
        println!(
            "{name}: degree 2^{}, digest {digest:?}",
            circuit.common.degree_bits()
        );
    }
    Ok(())
}
