//! The transparency log in the public formats: against published vectors, against the crates
//! `tlog_tiles` and `signed_note`, and against everything that differs from it by one bit.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod crates;
mod flips;

use plimsoll::audit::tlog::{
    Algorithm, Checkpoint, Edge, Error, Hash, Note, Proof, SignerKey, Tree, VerifierKey, leaf, notes, tiles,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

const ORIGIN: &str = "plimsoll.example/audit";
const VKEY: &str = "plimsoll.example/audit+fe91e1bb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";

/// Roots over `{"seq":0}`, `{"seq":1}` and so on.
const ROOTS: [(u64, &str); 6] = [
    (0, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    (1, "pAKw429aroVFc2D88AolRbh91H8xBVPnsNMtbQrEQA0="),
    (2, "/FLXGjaKeY/Zbsflt+5fj5/dEMf/mrFGxOrB5qChsQo="),
    (7, "EvKAi8pMShoFMXCjvEsCuz6D/gv4VOQsdbNQL7mqlaI="),
    (256, "seEZrOo8AgMvfp4xtjKwHzWwoh0carRqr3DlKeWyNcc="),
    (1000, "nDDK42+QoVXgix7yMUA6iL1VEsw+VipTUq4eaRaB0Ek="),
];

fn entry(seq: u64) -> Vec<u8> {
    format!("{{\"seq\":{seq}}}").into_bytes()
}

fn tree(size: u64) -> Tree {
    let mut tree = Tree::default();
    (0..size).for_each(|seq| tree.push(leaf(&entry(seq))));
    tree
}

fn signer() -> SignerKey {
    let seed: Vec<u8> = (0..32).collect();
    SignerKey::new(ORIGIN, Algorithm::Ed25519, &seed.try_into().unwrap()).unwrap()
}

fn witness() -> SignerKey {
    SignerKey::new("witness.example/w1", Algorithm::Cosignature, &[9; 32]).unwrap()
}

fn checkpoint(tree: &Tree, size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root_at(size).unwrap() }
}

/// The proof of one entry.
fn proof(tree: &Tree, index: u64, checkpoint: &str, size: u64) -> Proof {
    let path = tree.inclusion(index, size).unwrap();
    Proof { extra: None, index, path, checkpoint: checkpoint.to_owned() }
}

#[test]
fn roots_are_those_of_the_published_vectors() {
    assert_eq!(leaf(b"").to_string(), "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
    let tree = tree(1000);
    for (size, root) in ROOTS.into_iter().chain([(257, "PGbXf4xtvtpwT4OmeDlDIwP7bgE4V0agSOWlZaBly/Y=")]) {
        assert_eq!(tree.root_at(size).unwrap().to_string(), root, "{size}");
        let mut edge = Edge::default();
        (0..size).for_each(|seq| edge.push(leaf(&entry(seq))));
        assert_eq!((edge.root().to_string().as_str(), edge.size()), (root, size));
    }
    let path: Vec<String> = tree.inclusion(2, 7).unwrap().iter().map(Hash::to_string).collect();
    assert_eq!(
        path,
        [
            "28xC11lrPWKfGGHR4gl7l7VGLsyueJ38+Zf+qbBpCJk=",
            "/FLXGjaKeY/Zbsflt+5fj5/dEMf/mrFGxOrB5qChsQo=",
            "W2qHXU9KHoTXZASQVliH8n4vPTTJGZZRQ2ZkO/A30QA="
        ]
    );
}

#[test]
fn key_and_signature_are_those_of_the_published_vectors() {
    assert_eq!(signer().verifier().to_string(), VKEY);
    let note = checkpoint(&tree(7), 7).sign(&signer()).to_string();
    let line = note.lines().last().unwrap();
    assert_eq!(
        line.rsplit(' ').next().unwrap(),
        "/pHhu/Do+ybwzRF0KHn9g02352waDPmvJ9pK7QvdIc2mTPIoDZ42lA/MGiyqqRqcY1QGzU8yIHHEyIQuCpcZe5a4sgk="
    );
    let log = [VKEY.parse_key()];
    let opened = Checkpoint::open(note.as_bytes(), &log, &[]).unwrap();
    assert_eq!((opened.checkpoint.size, opened.by.len()), (7, 1));
    assert_eq!(SignerKey::parse(&signer().expose()).unwrap().expose(), signer().expose());
    assert!(!format!("{:?}", signer()).contains("AAECAwQF"), "a secret is shown");
}

trait ParseKey {
    fn parse_key(&self) -> VerifierKey;
}

impl ParseKey for str {
    fn parse_key(&self) -> VerifierKey {
        VerifierKey::parse(self).unwrap()
    }
}

#[test]
fn every_entry_of_small_trees_and_every_pair_of_sizes_is_proven() {
    let tree = tree(70);
    let root = |size| tree.root_at(size).unwrap();
    for new in 0..=70 {
        for index in 0..new {
            let path = tree.inclusion(index, new).unwrap();
            assert!(verify_inclusion(leaf(&entry(index)), index, new, &path, root(new)), "{index} in {new}");
            assert!(!verify_inclusion(leaf(&entry(index)), index + 1, new, &path, root(new)));
            assert!(!verify_inclusion(leaf(&entry(index + 1)), index, new, &path, root(new)));
            let longer: Vec<Hash> = path.iter().copied().chain([root(1)]).collect();
            assert!(!verify_inclusion(leaf(&entry(index)), index, new, &longer, root(new)));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!verify_inclusion(leaf(&entry(index)), index, new, shorter, root(new)));
            }
        }
        assert_eq!(tree.inclusion(new, new), None);
        for old in 0..=new {
            let path = tree.consistency(old, new).unwrap();
            assert!(verify_consistency(old, root(old), new, root(new), &path), "{old} to {new}");
            if old > 0 && old < new {
                assert!(!verify_consistency(old, root(old - 1), new, root(new), &path));
                assert!(!verify_consistency(old, root(old), new, root(new - 1), &path));
                let longer: Vec<Hash> = path.iter().copied().chain([root(1)]).collect();
                assert!(!verify_consistency(old, root(old), new, root(new), &longer));
                assert!(!verify_consistency(old, root(old), new, root(new), &path[1..]));
            }
            assert!(old == new || !verify_consistency(new, root(new), old, root(old), &path));
        }
    }
    assert_eq!((tree.consistency(3, 2), tree.consistency(3, 71), tree.root_at(71)), (None, None, None));
}

#[test]
fn known_keys_must_have_signed_and_unknown_ones_say_nothing() {
    let tree = tree(9);
    let (log, others) = ([signer().verifier()], [witness().verifier()]);
    let mut note = checkpoint(&tree, 9).sign(&signer());
    note.signatures.push(witness().sign(&note.text, 1_795_000_000));
    let open = |note: &Note, log: &[VerifierKey], witnesses: &[VerifierKey]| {
        Checkpoint::open(note.to_string().as_bytes(), log, witnesses)
    };
    assert_eq!(open(&note, &log, &others).unwrap().by.len(), 2);
    assert_eq!(open(&note, &log, &[]).unwrap().by.len(), 1);
    // Only a witness signed: the log did not.
    assert_eq!(open(&note, &[], &others), Err(Error::NoKnownKey));
    let mut forged = note.clone();
    forged.signatures[1].bytes[0] ^= 1;
    assert_eq!(open(&forged, &log, &[]).unwrap().by.len(), 1);
    assert!(matches!(open(&forged, &log, &others), Err(Error::Signature { .. })));
    // Sixteen strangers, one with the id of a known key and another name, and one the other way round.
    let mut crowd = note.clone();
    for i in 0..16 {
        let mut stranger = note.signatures[0].clone();
        stranger.id[0] = i;
        crowd.signatures.insert(0, stranger);
    }
    let mut namesake = note.signatures[0].clone();
    namesake.name = "elsewhere.example".to_owned();
    crowd.signatures.push(namesake);
    assert_eq!(open(&crowd, &log, &others).unwrap().by.len(), 2);
    // The key of one log under a checkpoint of another.
    let other = Checkpoint { origin: "other.example".to_owned(), ..checkpoint(&tree, 9) };
    assert!(matches!(open(&other.sign(&signer()), &log, &[]), Err(Error::Origin { .. })));
}

#[test]
fn other_spellings_of_keys_checkpoints_and_proofs_are_refused() {
    let (name, rest) = VKEY.split_once('+').unwrap();
    let (id, data) = rest.split_once('+').unwrap();
    for wrong in [
        format!("{name}+{}+{data}", id.to_uppercase()),
        format!("{name}+fe91e1bc+{data}"),
        format!("{name}+{id}+{data}="),
        format!("{name}x+{id}+{data}"),
        format!("{name}+{id}+{}", data.replacen("AQ", "Ag", 1)),
        format!("{name}+{id}"),
        format!(" +{id}+{data}"),
        String::new(),
    ] {
        assert!(matches!(VerifierKey::parse(&wrong), Err(Error::Key(_))), "{wrong}");
        assert!(matches!(SignerKey::parse(&format!("PRIVATE+KEY+{wrong}")), Err(Error::Key(_))), "{wrong}");
    }
    let root = ROOTS[3].1;
    assert!(Checkpoint::parse(&format!("{ORIGIN}\n7\n{root}\n")).is_ok());
    for wrong in [
        format!("{ORIGIN}\n07\n{root}\n"),
        format!("{ORIGIN}\n+7\n{root}\n"),
        format!("{ORIGIN}\n7\n{root}"),
        format!("{ORIGIN}\n7\n{root}\n\n"),
        format!("{ORIGIN}\n7\n{root}\nextension\n"),
        format!("{ORIGIN}\n7\n{}\n", root.replace("laI=", "laJ=")),
        format!("a b\n7\n{root}\n"),
        format!("\n7\n{root}\n"),
        format!("{ORIGIN}\n0\n{root}\n"),
    ] {
        assert!(matches!(Checkpoint::parse(&wrong), Err(Error::Checkpoint(_))), "{wrong}");
    }
    let tree = tree(7);
    let note = checkpoint(&tree, 7).sign(&signer()).to_string();
    let good = proof(&tree, 2, &note, 7).to_string();
    assert_eq!(Proof::parse(good.as_bytes()).unwrap().to_string(), good);
    let extra = good.replacen("index", "extra AAE=\nindex", 1);
    assert_eq!(Proof::parse(extra.as_bytes()).unwrap().extra, Some(vec![0, 1]));
    for (from, to) in [
        ("proof@v1", "proof@v2"),
        ("index 2", "index 02"),
        ("index 2", "Index 2"),
        ("index 2", "index  2"),
        ("index 2", "extra AAE=\nextra AAE=\nindex 2"),
        ("index 2", "index 2\n"),
        ("28xC11", "!8xC11"),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good);
        let opened = Proof::parse(wrong.as_bytes())
            .and_then(|proof| proof.verify(&entry(2), &[signer().verifier()], &[]).map(|_| ()));
        assert!(opened.is_err(), "{from} {to}");
    }
}

#[test]
fn tiles_are_named_and_cut_as_specified() {
    let path = |tile: plimsoll::audit::tlog::Tile| tile.path();
    let of_70000: Vec<String> = tiles(0, 70_000).into_iter().map(path).collect();
    assert_eq!(of_70000.iter().filter(|path| path.starts_with("tile/0/")).count(), 274);
    for last in
        ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"]
    {
        assert!(of_70000.iter().any(|path| path == last), "{last}");
    }
    assert!(!of_70000.iter().any(|path| path.starts_with("tile/3/")));
    let of_256: Vec<String> = tiles(0, 256).into_iter().map(path).collect();
    assert_eq!(of_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(tiles(0, 0), []);
    assert_eq!(tiles(256, 256), []);
    let added: Vec<String> = tiles(255, 257).into_iter().map(path).collect();
    assert_eq!(
        added,
        ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]
    );
    let big = plimsoll::audit::tlog::Tile {
        of: plimsoll::audit::tlog::Resource::Entries,
        index: 1_234_067,
        width: 256,
    };
    assert_eq!(big.path(), "tile/entries/x001/x234/067");
}

#[test]
fn notes_in_a_row_are_told_apart_and_an_unfinished_one_is_left_out() {
    let tree = tree(5);
    let mut written: Vec<String> =
        (1..=5).map(|size| checkpoint(&tree, size).sign(&signer()).to_string()).collect();
    let mut cosigned = checkpoint(&tree, 3).sign(&signer());
    cosigned.signatures.push(witness().sign(&cosigned.text, 1));
    written.insert(2, cosigned.to_string());
    let whole = written.concat();
    let (found, taken) = notes(whole.as_bytes());
    assert_eq!(found, written.iter().map(String::as_bytes).collect::<Vec<_>>());
    assert_eq!(taken, whole.len());
    let last = written.last().unwrap().len();
    for cut in 1..=last {
        let (found, taken) = notes(&whole.as_bytes()[..whole.len() - cut]);
        assert_eq!((found.len(), taken), (written.len() - 1, whole.len() - last), "{cut}");
    }
    assert_eq!(notes(b""), (vec![], 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_parser_panics_whatever_it_is_given(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,60}") {
        let mixed = [b"c2sp.org/tlog-proof@v1\nindex 3\n".as_slice(), &bytes].concat();
        for bytes in [&bytes[..], text.as_bytes(), &mixed] {
            let _ = Proof::parse(bytes);
            let _ = Note::parse(bytes);
            let _ = notes(bytes);
            let _ = plimsoll::audit::tlog::bundled(bytes, 3);
            let text = String::from_utf8_lossy(bytes);
            let _ = Checkpoint::parse(&text);
            let _ = (VerifierKey::parse(&text), SignerKey::parse(&format!("PRIVATE+KEY+{text}")));
        }
    }

    #[test]
    fn bundles_give_back_their_entries(entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20)) {
        let bytes = plimsoll::audit::tlog::bundle(entries.iter().map(Vec::as_slice)).unwrap();
        let back = plimsoll::audit::tlog::bundled(&bytes, entries.len() as u64).unwrap();
        prop_assert_eq!(back, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert!(plimsoll::audit::tlog::bundled(&bytes, entries.len() as u64 + 1).is_err());
    }
}
