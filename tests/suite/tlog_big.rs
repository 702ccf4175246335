//! The audit log at full size, and bit by bit: tests/audit/run.sh runs these, and names in
//! `PLIMSOLL_TEST_PYTHON` an interpreter that has `cryptography`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use base64::Engine;
use plimsoll::app::auditing::{
    Keys, Log, Report, Source, Subject, lay_tiles, prove, verify, verify_proof, witness,
};
use plimsoll::audit::tlog::{
    Algorithm, Checkpoint, Hash, Proof, Resource, SignerKey, Tile, Tree, VerifierKey, bundled, leaf, tiles,
    verify_inclusion,
};
use tlog_tiles::tile::{Tile as OtherTile, TileHashReader, TileReader};
use tlog_tiles::tlog::{Hash as OtherHash, HashReader, stored_hash_index};

use super::support::Stream;

const ORIGIN: &str = "plimsoll.example/audit";

fn signer() -> SignerKey {
    SignerKey::new(ORIGIN, Algorithm::Ed25519, &[3; 32]).unwrap()
}

fn keys() -> Keys {
    Keys { log: vec![signer().verifier()], ..Keys::default() }
}

/// Entry number `seq` of a log of decisions, their evidence, intents and outcomes.
pub(crate) fn plausible(seq: u64) -> String {
    let (action, second) = (seq / 4, seq % 60);
    let time = format!("2026-11-22T10:{:02}:{second:02}Z", seq / 60 % 60);
    let id = format!("{action:032x}");
    match seq % 4 {
        0 => format!(
            r#"{{"actions":[{{"action":"back","action_id":"rollback-{action}","deadline":"{time}","kind":"rollback"}}],"decision":{{"actions":["back"],"at":"{time}","decide":"sequential","evidence":[],"id":"{id}","key":{{"model":"credit","version":"v2"}},"kind":"violated","policy":"fair","since":"{time}"}},"format":1,"kind":"decision","omitted":0,"seq":{seq},"time":"{time}"}}"#
        ),
        1 => format!(
            r#"{{"action_ids":["rollback-{action}"],"decision":"{id}","format":1,"kind":"evidence","profile":"sha256:{action:064x}","seq":{seq},"time":"{time}"}}"#
        ),
        2 => format!(
            r#"{{"action_id":"rollback-{action}","format":1,"idempotency":"keyed","kind":"intent","payload":{{"data":{{"model":"credit","ratio":0.5{action}1}}}},"seq":{seq},"target":"webhook","time":"{time}","to_version":"v1"}}"#
        ),
        _ => format!(
            r#"{{"action_id":"rollback-{action}","format":1,"kind":"outcome","outcome":{{"attempts":1,"detail":"HTTP 202","state":"applied"}},"seq":{seq},"time":"{time}"}}"#
        ),
    }
}

/// A log of `size` entries in a file, with checkpoints over `saved` of them, and its tree.
pub(crate) fn written(path: &Path, size: u64, saved: &[u64]) -> Tree {
    let mut tree = Tree::default();
    let mut file = BufWriter::new(File::create(path).unwrap());
    for seq in 0..size {
        let entry = plausible(seq);
        tree.push(leaf(entry.as_bytes()));
        writeln!(file, "{entry}").unwrap();
    }
    file.flush().unwrap();
    let mut notes = String::new();
    for &size in saved {
        notes.push_str(&note(&tree, size));
    }
    fs::write(format!("{}.checkpoints", path.display()), notes).unwrap();
    tree
}

fn note(tree: &Tree, size: u64) -> String {
    let root = tree.root_at(size).unwrap();
    Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(&signer()).to_string()
}

fn checked(path: &Path, saved: &[PathBuf]) -> Report {
    let log = Log::open(&Source::File(path.to_owned()), true).unwrap();
    verify(&log, &keys(), saved, false).unwrap()
}

/// What tests/audit/flips.py says last.
fn python(arguments: &[&str]) -> String {
    let interpreter = std::env::var("PLIMSOLL_TEST_PYTHON").expect("tests/audit/run.sh sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/flips.py");
    let began = Instant::now();
    let output = Command::new(interpreter).arg(script).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("python {}: {text} in {:?}", arguments[0], began.elapsed());
    text
}

fn turn(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Tiles as the crate `tlog_tiles` asks for them.
struct Served<'a>(&'a dyn Fn(&str) -> Vec<u8>);

impl TileReader for Served<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[OtherTile]) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
        Ok(tiles.iter().map(|tile| self.0(&tile.path().replacen("tile/8/", "tile/", 1))).collect())
    }

    fn save_tiles(&self, _: &[OtherTile], _: &[Vec<u8>]) {}
}

#[test]
#[ignore = "takes minutes: tests/audit/run.sh"]
fn no_bit_of_a_thousand_entries_their_proofs_tiles_and_checkpoint_can_be_turned_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entries.ndjson");
    let size = 1000;
    let tree = written(&file, size, &[size]);
    assert!(checked(&file, &[]).is_good());
    let (root, note, log) = (tree.root_at(size).unwrap(), note(&tree, size), keys().log);
    fs::write(folder.path().join("checkpoint"), &note).unwrap();
    fs::create_dir(folder.path().join("proofs")).unwrap();

    let began = Instant::now();
    let (mut of_entries, mut of_proofs) = (0_u64, 0_u64);
    for index in 0..size {
        let mut entry = plausible(index).into_bytes();
        let proof = Proof {
            extra: None,
            index,
            path: tree.inclusion(index, size).unwrap(),
            checkpoint: note.clone(),
        };
        let mut bytes = proof.to_string().into_bytes();
        fs::write(folder.path().join(format!("proofs/{index}.tlog-proof")), &bytes).unwrap();
        proof.verify(&entry, &log, &[]).unwrap();
        for bit in 0..entry.len() * 8 {
            turn(&mut entry, bit);
            assert!(
                !verify_inclusion(leaf(&entry), index, size, &proof.path, root),
                "bit {bit} of entry {index}"
            );
            turn(&mut entry, bit);
            of_entries += 1;
        }
        for bit in bits_of_a_proof(bytes.len(), index as usize) {
            turn(&mut bytes, bit);
            let read = Proof::parse(&bytes).and_then(|proof| proof.verify(&entry, &log, &[]));
            assert!(read.is_err(), "bit {bit} of the proof of {index}");
            turn(&mut bytes, bit);
            of_proofs += 1;
        }
    }
    eprintln!("entries={of_entries} proofs={of_proofs} in {:?}", began.elapsed());

    let mut bytes = note.into_bytes();
    for bit in 0..bytes.len() * 8 {
        turn(&mut bytes, bit);
        assert!(Checkpoint::open(&bytes, &log, &[]).is_err(), "bit {bit} of the checkpoint");
        turn(&mut bytes, bit);
    }
    let laid = folder.path().join("tiles");
    let source = Log::open(&Source::File(file), true).unwrap();
    lay_tiles(&source, &keys(), &laid).unwrap();
    bundles(&tree, &laid, size);
    hash_tiles(&tree, &laid, size);

    let told = python(&["thousand", folder.path().to_str().unwrap(), &log[0].to_string()]);
    assert!(told.starts_with(&format!("entries={of_entries} proofs={of_proofs} ")), "{told}");
}

/// A bit of every byte of a proof, another one from proof to proof; or all of them, which takes
/// minutes more.
fn bits_of_a_proof(bytes: usize, index: usize) -> Box<dyn Iterator<Item = usize>> {
    if std::env::var_os("PLIMSOLL_ALL_BITS").is_some() {
        return Box::new(0..bytes * 8);
    }
    Box::new((0..bytes).map(move |byte| byte * 8 + (byte + index) % 8))
}

/// Every bit of a length, and one of each entry, in the bundles.
fn bundles(tree: &Tree, laid: &Path, size: u64) {
    let mut stream = Stream(11);
    let mut count = 0;
    for tile in tiles(0, size).into_iter().filter(|tile| tile.of == Resource::Entries) {
        let mut bytes = fs::read(laid.join(tile.path())).unwrap();
        let holds = |bytes: &[u8]| {
            bundled(bytes, tile.width).is_ok_and(|entries| {
                let mut leaves = (tile.index * 256..).zip(entries);
                leaves.all(|(index, entry)| tree.subtree(0, index) == Some(leaf(entry)))
            })
        };
        assert!(holds(&bytes));
        let mut at = 0;
        while at < bytes.len() {
            let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            let inside = (at + 2) * 8 + (stream.uniform() * (length * 8) as f64) as usize;
            for bit in (at * 8..at * 8 + 16).chain([inside]) {
                turn(&mut bytes, bit);
                assert!(!holds(&bytes), "bit {bit} of {}", tile.path());
                turn(&mut bytes, bit);
                count += 1;
            }
            at += 2 + length;
        }
    }
    eprintln!("bundles={count}");
}

/// A bit of every byte of the hash tiles, by the crate `tlog_tiles`. Its reader holds partial tiles against
/// the root; full ones it does not always hold against the tile above (0.2.0 leaves out as many tiles as
/// there are hashes in the root, even where these share tiles), so that is asked here.
fn hash_tiles(tree: &Tree, laid: &Path, size: u64) {
    let root = OtherHash(tree.root_at(size).unwrap().0);
    let mut count = 0;
    for tile in tiles(0, size).into_iter().filter(|tile| tile.of != Resource::Entries) {
        let path = tile.path();
        let good = fs::read(laid.join(&path)).unwrap();
        let Resource::Hashes { level } = tile.of else { continue };
        let index = stored_hash_index(8 * level, tile.index * 256);
        let holds = |changed: &[u8]| {
            if tile.width == 256 {
                return tree.subtree(8, tile.index).unwrap().0 == OtherTile::subtree_hash(changed).0;
            }
            let serve = |asked: &str| {
                if asked == path { changed.to_vec() } else { fs::read(laid.join(asked)).unwrap() }
            };
            TileHashReader::new(size, root, &Served(&serve)).read_hashes(&[index]).is_ok()
        };
        assert!(holds(&good), "{path}");
        let mut changed = good;
        for byte in 0..changed.len() {
            let bit = byte * 8 + byte % 8;
            turn(&mut changed, bit);
            assert!(!holds(&changed), "bit {bit} of {path}");
            assert_ne!(tile.hashes(tree).unwrap(), changed);
            turn(&mut changed, bit);
            count += 1;
        }
    }
    eprintln!("hash tiles={count}");
}

#[test]
#[ignore = "takes minutes: tests/audit/run.sh"]
fn of_a_million_entries_no_bit_none_missing_and_none_rewritten_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entries.ndjson");
    let size = 1_000_000;
    let mut stream = Stream(12);
    let mut any = |below: u64| (stream.uniform() * below as f64) as u64;
    let mut saved: Vec<u64> = (0..8).map(|_| 1 + any(size)).chain([1, 256, 65_536, size]).collect();
    saved.sort_unstable();
    let began = Instant::now();
    let tree = written(&file, size, &saved);
    eprintln!(
        "a million entries, {} MB, written in {:?}",
        fs::metadata(&file).unwrap().len() >> 20,
        began.elapsed()
    );
    let began = Instant::now();
    let report = checked(&file, &[]);
    assert!(report.is_good(), "{report}");
    assert_eq!((report.entries, report.covered, report.checkpoints), (size, size, saved.len() as u64));
    eprintln!("verified in {:?}", began.elapsed());

    let (note, log, root) = (note(&tree, size), keys().log, tree.root_at(size).unwrap());
    let mut cases = BufWriter::new(File::create(folder.path().join("cases.ndjson")).unwrap());
    for _ in 0..10_000 {
        let index = any(size);
        let mut entry = plausible(index).into_bytes();
        let path: Vec<Hash> = tree.inclusion(index, size).unwrap();
        let bit = any(entry.len() as u64 * 8) as usize;
        let proof = Proof { extra: None, index, path, checkpoint: note.clone() };
        proof.verify(&entry, &log, &[]).unwrap();
        let plain = base64::engine::general_purpose::STANDARD.encode(&entry);
        let case =
            serde_json::json!({"index": index, "entry": plain, "bit": bit, "proof": proof.to_string()});
        writeln!(cases, "{case}").unwrap();
        turn(&mut entry, bit);
        assert!(proof.verify(&entry, &log, &[]).is_err(), "bit {bit} of entry {index}");
        assert!(!verify_inclusion(leaf(&entry), index, size, &proof.path, root));
    }
    cases.flush().unwrap();

    // Cut short by one; an entry left out; two exchanged; and a log that its own key signed anew.
    let lines = || BufReader::new(File::open(&file).unwrap()).lines().map(Result::unwrap);
    let kept = PathBuf::from(format!("{}.checkpoints", file.display()));
    let at = 500_001;
    let written = |name: &str, lines: &mut dyn Iterator<Item = String>| {
        let path = folder.path().join(format!("broken-{name}"));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        lines.for_each(|line| writeln!(file, "{line}").unwrap());
        file.flush().unwrap();
        let report = checked(&path, std::slice::from_ref(&kept));
        assert!(!report.is_good(), "{name}");
        eprintln!("{name}: {}", report.problems()[0]);
    };
    written("short", &mut lines().take(size as usize - 1));
    written(
        "rewritten",
        &mut lines().enumerate().map(
            |(i, line)| {
                if i == at { line.replace("profile", "profilf") } else { line }
            },
        ),
    );
    written("without", &mut lines().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| line));
    // Each is refused by any of the checkpoints that covers the change, alone.
    for &one in saved.iter().filter(|&&one| one <= 70_000 || one == size) {
        let (alone, short) = (folder.path().join("alone"), folder.path().join("short-of-it"));
        fs::write(&alone, self::note(&tree, one)).unwrap();
        let mut text = String::new();
        lines().take(one as usize - 1).for_each(|line| writeln!(text, "{line}").unwrap());
        fs::write(&short, text).unwrap();
        assert!(!checked(&short, std::slice::from_ref(&alone)).is_good(), "{one}");
        fs::remove_file(&short).unwrap();
    }
    let told = python(&["million", folder.path().to_str().unwrap(), &log[0].to_string()]);
    assert_eq!(told, "flips=10000 entries=1000000 broken=3");
}

/// The commands one after the other, and the Python verifier on what they wrote.
#[test]
#[ignore = "needs PLIMSOLL_TEST_PYTHON: tests/audit/run.sh"]
fn what_the_commands_write_is_accepted_by_the_verifier_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entries.ndjson");
    written(&file, 600, &[300, 600]);
    let log = Log::open(&Source::File(file.clone()), true).unwrap();
    let own = SignerKey::new("witness.example/w1", Algorithm::Cosignature, &[5; 32]).unwrap();
    let seen = witness(&log, &keys(), &own, &folder.path().join("state"), 1_795_000_000).unwrap();
    let cosigned = folder.path().join("cosigned");
    fs::write(&cosigned, seen.note).unwrap();
    let tiles = folder.path().join("tiles");
    lay_tiles(&log, &keys(), &tiles).unwrap();
    let proofs = prove(&log, &keys(), &Subject::Action("rollback-7".into()), folder.path()).unwrap();
    let proofs = proofs.files;
    assert_eq!(proofs.len(), 4);
    let interpreter = std::env::var("PLIMSOLL_TEST_PYTHON").expect("tests/audit/run.sh sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/audit/verify.py");
    let key = signer().verifier().to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&interpreter);
        command.arg("-B").arg(&script).arg(arguments[0]).args(["--key", &key]).args(&arguments[1..]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for proof in &proofs {
        let entry = text(&proof.with_extension("json"));
        verify_proof(proof, Path::new(&entry), &keys()).unwrap();
        let (code, told) = run(&["proof", &text(proof), &entry]);
        assert_eq!(code, Some(0), "{told}");
        let (code, told) = run(&["proof", &text(&proofs[0]), &text(&proofs[1].with_extension("json"))]);
        assert_eq!(code, Some(2), "{told}");
    }
    let cosigned = text(&cosigned);
    let (code, told) = run(&["tiles", &text(&tiles), "--checkpoint", &cosigned]);
    assert_eq!((code, told.trim()), (Some(0), "good: 600 entries of plimsoll.example/audit"));
    let (code, told) = run(&["entries", &text(&file), "--checkpoint", &cosigned]);
    assert_eq!(code, Some(0), "{told}");
    let verifier: VerifierKey = own.verifier();
    let (code, told) = run(&["tiles", &text(&tiles), "--witness", &verifier.to_string()]);
    assert_eq!(code, Some(2), "the published checkpoint has no signature of the witness: {told}");
    fs::copy(folder.path().join("cosigned"), tiles.join("checkpoint")).unwrap();
    let (code, told) = run(&["tiles", &text(&tiles), "--witness", &verifier.to_string()]);
    assert_eq!(code, Some(0), "{told}");
    let first = Tile { of: Resource::Entries, index: 0, width: 256 };
    let mut bytes = fs::read(tiles.join(first.path())).unwrap();
    turn(&mut bytes, 100);
    fs::write(tiles.join(first.path()), bytes).unwrap();
    assert_eq!(run(&["tiles", &text(&tiles)]).0, Some(2));
}
