//! The same log by the crates `tlog_tiles` and `signed_note`, which were written by others after the Go
//! originals.

use std::cell::RefCell;
use std::collections::BTreeMap;

use signed_note::{
    Note as OtherNote, Signer as _, StandardSigner, StandardVerifier, Verifier as _, VerifierList,
};
use tlog_tiles::tile::Tile as OtherTile;
use tlog_tiles::tlog::{
    self as other, Error as OtherError, HashReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, stored_hash_index, stored_hashes, tree_hash,
};

use plimsoll::audit::tlog::{Resource, tiles};

use super::*;

/// Hashes as the other crate stores them.
#[derive(Default)]
struct Stored(RefCell<BTreeMap<u64, other::Hash>>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, OtherError> {
        let stored = self.0.borrow();
        Ok(indexes.iter().map(|index| stored[index]).collect())
    }
}

fn stored(size: u64) -> Stored {
    let stored = Stored::default();
    for seq in 0..size {
        let hashes = stored_hashes(seq, &entry(seq), &stored).unwrap();
        let first = stored_hash_index(0, seq);
        for (at, hash) in hashes.into_iter().enumerate() {
            stored.0.borrow_mut().insert(first + at as u64, hash);
        }
    }
    stored
}

#[test]
fn both_make_and_accept_the_same_roots_and_proofs() {
    let (stored, tree) = (stored(1030), tree(1030));
    for new in [1_u64, 2, 3, 7, 8, 255, 256, 257, 1000, 1030] {
        let root = tree_hash(new, &stored).unwrap();
        assert_eq!(root.0, tree.root_at(new).unwrap().0, "{new}");
        for index in [0, 1, new / 2, new.saturating_sub(2), new - 1] {
            if index >= new {
                continue;
            }
            let theirs = prove_record(new, index, &stored).unwrap();
            let ours = tree.inclusion(index, new).unwrap();
            assert_eq!(
                theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                ours.iter().map(|hash| hash.0).collect::<Vec<_>>()
            );
            check_record(&theirs, new, root, index, record_hash(&entry(index))).unwrap();
        }
        for old in [1, 2, 3, 5, 8, 255, 256, 511, new] {
            if old > new {
                continue;
            }
            let theirs = prove_tree(new, old, &stored).unwrap();
            let ours = tree.consistency(old, new).unwrap();
            assert_eq!(
                theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                ours.iter().map(|hash| hash.0).collect::<Vec<_>>()
            );
            check_tree(&theirs, new, root, old, tree_hash(old, &stored).unwrap()).unwrap();
        }
    }
}

#[test]
fn both_cut_the_same_tiles() {
    let (stored, tree) = (stored(1030), tree(1030));
    let of = |size| tiles(0, size).into_iter().filter(|tile| tile.of != Resource::Entries);
    for size in [1, 255, 256, 257, 1000, 1030] {
        let mut ours: Vec<String> = of(size).map(|tile| tile.path()).collect();
        let theirs = OtherTile::new_tiles(8, 0, size);
        let mut names: Vec<String> =
            theirs.iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
        ours.sort();
        names.sort();
        assert_eq!(ours, names);
        for tile in theirs {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let same = of(size).find(|ours| ours.path() == path).unwrap();
            assert_eq!(same.hashes(&tree).unwrap(), tile.read_data(&stored).unwrap(), "{path}");
        }
    }
}

#[test]
fn each_reads_the_keys_and_notes_of_the_other() {
    let secret = signer().expose();
    let theirs = StandardSigner::new(&secret).unwrap();
    assert_eq!(theirs.key_id().to_be_bytes(), signer().verifier().id());
    let verifier = StandardVerifier::new(VKEY).unwrap();
    assert_eq!(verifier.name(), ORIGIN);
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let checkpoint = checkpoint(&tree(7), 7);
    let ours = checkpoint.sign(&signer()).to_string();
    let read = OtherNote::from_bytes(ours.as_bytes()).unwrap();
    assert_eq!(read.verify(&known).unwrap().0.len(), 1);
    let mut note = OtherNote::new(checkpoint.to_string().as_bytes(), &[]).unwrap();
    note.add_sigs(&[&theirs]).unwrap();
    assert_eq!(note.to_bytes(), ours.as_bytes());
    let parsed = tlog_tiles::checkpoint::Checkpoint::from_bytes(read.text()).unwrap();
    assert_eq!((parsed.origin(), parsed.size(), parsed.hash().0), (ORIGIN, 7, checkpoint.root.0));
}
