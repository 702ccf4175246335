//! Every bit of an entry, its proof and the checkpoint: none can be turned without being noticed.

use super::*;

/// `bytes` with each bit turned, one after the other.
fn turned(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut other = bytes.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        other
    })
}

#[test]
fn no_bit_of_an_entry_a_proof_or_a_checkpoint_can_be_turned_unnoticed() {
    let log = [signer().verifier()];
    let tree = tree(300);
    for size in [1, 2, 3, 255, 256, 257, 300] {
        let note = checkpoint(&tree, size).sign(&signer()).to_string();
        for index in [0, size / 2, size - 1] {
            let good = proof(&tree, index, &note, size);
            good.verify(&entry(index), &log, &[]).unwrap();
            for other in turned(&entry(index)) {
                let wrong = Error::NotIncluded { index };
                assert_eq!(good.verify(&other, &log, &[]), Err(wrong));
            }
            for (bit, other) in turned(good.to_string().as_bytes()).enumerate() {
                let read = Proof::parse(&other).and_then(|proof| proof.verify(&entry(index), &log, &[]));
                assert!(read.is_err(), "bit {bit} of the proof of {index} in {size}");
            }
        }
    }
    let note = checkpoint(&tree, 300).sign(&signer());
    for (bit, other) in turned(note.to_string().as_bytes()).enumerate() {
        assert!(Checkpoint::open(&other, &log, &[]).is_err(), "bit {bit} of the checkpoint");
    }
    let witnesses = [witness().verifier()];
    let mut cosigned = note;
    cosigned.signatures.push(witness().sign(&cosigned.text, 1_795_000_000));
    let whole = cosigned.to_string();
    for (bit, other) in turned(whole.as_bytes()).enumerate() {
        let both = Checkpoint::open(&other, &log, &witnesses).is_ok_and(|opened| opened.by.len() == 2);
        assert!(!both, "bit {bit} of the cosigned checkpoint");
    }
}
