//! `plimsoll audit`: what the commands find, write and refuse, and the codes with which they end.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll::app::auditing::{
    Inconsistent, Keys, Log, Source, Subject, lay_tiles, prove, verify, verify_proof, witness,
};
use plimsoll::audit::tlog::{Algorithm, Checkpoint, Proof, SignerKey, VerifierKey, tiles};
use plimsoll::audit::{Checkpoints, FileStore, Signing, Store};

use super::tlog_big::{plausible, written};

const ORIGIN: &str = "plimsoll.example/audit";

fn signer() -> SignerKey {
    SignerKey::new(ORIGIN, Algorithm::Ed25519, &[3; 32]).unwrap()
}

fn own() -> SignerKey {
    SignerKey::new("witness.example/w1", Algorithm::Cosignature, &[5; 32]).unwrap()
}

fn keys() -> Keys {
    Keys { log: vec![signer().verifier()], ..Keys::default() }
}

fn opened(file: &Path) -> Log {
    Log::open(&Source::File(file.to_owned()), true).unwrap()
}

/// What `verify` says of a file, each line of it.
fn verdict(file: &Path, saved: &[PathBuf]) -> (bool, String) {
    let report = verify(&opened(file), &keys(), saved, false).unwrap();
    (report.is_good(), report.to_string())
}

/// A log in a folder of its own.
fn log(size: u64, saved: &[u64]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.ndjson");
    written(&file, size, saved);
    (folder, file)
}

#[test]
fn a_good_log_verifies_and_says_what_is_not_covered() {
    let (_folder, file) = log(10, &[1, 4, 8]);
    let (good, told) = verdict(&file, &[]);
    assert!(good && told.contains("the last 2 entries are covered by no checkpoint yet"), "{told}");
    assert!(told.ends_with("the log verifies"), "{told}");
    let unkeyed = verify(&opened(&file), &Keys::default(), &[], false).unwrap();
    assert!(unkeyed.is_good() && unkeyed.to_string().contains("nothing shows who wrote it"), "{unkeyed}");
}

#[test]
fn what_is_wrong_with_a_log_is_said_with_its_place() {
    let lines: Vec<String> = (0..12).map(|seq| plausible(seq) + "\n").collect();
    let changed = |at: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        let line = lines[at].replacen(from, to, 1);
        assert_ne!(line, lines[at]);
        lines[at] = line;
        lines.concat()
    };
    let without = |gone: usize| -> String {
        lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| line.as_str()).collect()
    };
    for (text, expected) in [
        (lines[..11].concat(), "checkpoint 2 of the log was signed over 12 entries, and there are 11"),
        (
            changed(5, "sha256", "sha512"),
            "was signed over 8 entries that are not these: something from entry 0 on",
        ),
        (
            changed(9, "sha256", "sha512"),
            "was signed over 12 entries that are not these: something from entry 8 on",
        ),
        (changed(2, "{", "{ "), "entry 2 is not canonical JSON"),
        (without(6), "entry 6 says that it is number 7"),
        (changed(11, "\n", ""), "bytes after the last line end are no entry"),
        (
            changed(5, "evidence", "evidense"),
            "entry 6 is the intent of action rollback-1, whose evidence was not sealed",
        ),
        (
            changed(6, "intent", "intend"),
            "entry 7 says that action rollback-1 ended as applied, without an intent",
        ),
        (
            changed(3, "rollback-0", "rollback-9"),
            "the outcome of action rollback-9, which no entry before it announced",
        ),
        (
            changed(1, "rollback-0", "rollback-9"),
            "entry 2 is the intent of action rollback-0, whose evidence was not sealed",
        ),
        (changed(6, "rollback-1", "rollback-0"), "entry 6 is a second intent of action rollback-0"),
        (changed(7, "rollback-1", "rollback-0"), "entry 7 is a second outcome of action rollback-0"),
    ] {
        let (_folder, file) = log(12, &[8, 12]);
        fs::write(&file, text).unwrap();
        let (good, told) = verdict(&file, &[]);
        assert!(!good && told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn checkpoints_that_were_kept_are_held_against_a_log_whose_key_signed_it_anew() {
    let (_folder, file) = log(12, &[12]);
    let kept = file.with_extension("kept");
    fs::copy(file.with_extension("ndjson.checkpoints"), &kept).unwrap();
    assert!(verdict(&file, std::slice::from_ref(&kept)).0);
    // A new past, signed by the same key: nothing but the kept checkpoint knows.
    let text = fs::read_to_string(&file).unwrap().replacen("\"v2\"", "\"v3\"", 1);
    let mut tree = plimsoll::audit::tlog::Tree::default();
    text.lines().for_each(|line| tree.push(plimsoll::audit::tlog::leaf(line.as_bytes())));
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 12, root: tree.root_at(12).unwrap() };
    fs::write(&file, text).unwrap();
    fs::write(file.with_extension("ndjson.checkpoints"), checkpoint.sign(&signer()).to_string()).unwrap();
    assert!(verdict(&file, &[]).0);
    let (good, told) = verdict(&file, &[kept]);
    assert!(!good && told.contains("audit.kept was signed over 12 entries that are not these"), "{told}");
    // Not a checkpoint, or of somebody else.
    let strange = file.with_extension("strange");
    let other = SignerKey::new(ORIGIN, Algorithm::Ed25519, &[4; 32]).unwrap();
    for text in ["hello\n".to_owned(), String::new(), checkpoint.sign(&other).to_string()] {
        fs::write(&strange, text).unwrap();
        assert!(!verdict(&file, std::slice::from_ref(&strange)).0);
    }
}

#[test]
fn what_an_action_did_is_proven_in_its_order() {
    let (folder, file) = log(40, &[30]);
    let proven =
        prove(&opened(&file), &keys(), &Subject::Action("rollback-3".into()), folder.path()).unwrap();
    assert_eq!(proven.order(), [Some(13), Some(14), Some(15)]);
    let proofs = proven.files;
    let names: Vec<_> = proofs.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["12-decision.tlog-proof", "13-evidence.tlog-proof", "14-intent.tlog-proof", "15-outcome.tlog-proof"]
    );
    for (number, proof) in (12..).zip(&proofs) {
        let told = verify_proof(proof, &proof.with_extension("json"), &keys()).unwrap();
        assert_eq!(
            told,
            format!("the entry is number {number} of the first 30 of {ORIGIN}, signed by {ORIGIN}")
        );
    }
    let error = verify_proof(&proofs[0], &proofs[1].with_extension("json"), &keys()).unwrap_err();
    assert!(error.is::<Inconsistent>(), "{error:#}");
    let refused =
        |subject| format!("{:#}", prove(&opened(&file), &keys(), &subject, folder.path()).unwrap_err());
    assert!(refused(Subject::Entry(35)).contains("not covered by a checkpoint yet"));
    assert!(refused(Subject::Entry(40)).contains("there is no entry 40"));
    assert!(refused(Subject::Action("x".into())).contains("no entry is about"));
    fs::write(&file, fs::read_to_string(&file).unwrap().replacen("\"v2\"", "\"v3\"", 1)).unwrap();
    let error = prove(&opened(&file), &keys(), &Subject::Entry(12), folder.path()).unwrap_err();
    assert!(error.is::<Inconsistent>(), "{error:#}");
}

/// What an outsider holds who was given the proofs alone: where the entries of each action are, and so in which
/// order they came.
#[test]
fn of_every_action_of_a_log_evidence_intent_and_outcome_are_proven_in_this_order() {
    let (folder, file) = log(80, &[33, 80]);
    let log = opened(&file);
    for action in 0..20 {
        let id = format!("rollback-{action}");
        let proven = prove(&log, &keys(), &Subject::Action(id.clone()), folder.path()).unwrap();
        let mut places = std::collections::BTreeMap::new();
        for proof in &proven.files {
            let bytes = fs::read(proof.with_extension("json")).unwrap();
            let entry: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let verified = Proof::parse(&fs::read(proof).unwrap()).unwrap();
            verified.verify(&bytes, &keys().log, &[]).unwrap();
            assert!(entry.to_string().contains(&id));
            places.insert(entry["kind"].as_str().unwrap().to_owned(), verified.index);
        }
        let order = ["decision", "evidence", "intent", "outcome"].map(|kind| places[kind]);
        assert!(order.is_sorted_by(|before, after| before < after), "{id}: {order:?}");
    }
}

#[test]
fn a_witness_signs_what_continues_what_it_signed_and_nothing_else() {
    let (folder, file) = log(10, &[10]);
    let state = folder.path().join("state");
    let look = || witness(&opened(&file), &keys(), &own(), &state, 1_795_000_000);
    let seen = look().unwrap();
    assert_eq!((seen.before, seen.size), (0, 10));
    let both = Checkpoint::open(seen.note.as_bytes(), &[signer().verifier()], &[own().verifier()]).unwrap();
    assert_eq!(both.by.len(), 2);
    written(&file, 25, &[10, 25]);
    assert_eq!((look().unwrap().before, look().unwrap().size), (10, 25));
    let remembered = fs::read(&state).unwrap();
    // Shorter; and another past of the same length and more.
    written(&file, 20, &[20]);
    let error = look().unwrap_err();
    assert!(error.is::<Inconsistent>() && error.to_string().contains("cut short"), "{error:#}");
    let (_other, rewritten) = log(30, &[30]);
    let text = fs::read_to_string(&rewritten).unwrap().replacen("\"v2\"", "\"v3\"", 1);
    let mut tree = plimsoll::audit::tlog::Tree::default();
    text.lines().for_each(|line| tree.push(plimsoll::audit::tlog::leaf(line.as_bytes())));
    for size in [25, 30] {
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root_at(size).unwrap() };
        fs::write(&file, &text).unwrap();
        fs::write(file.with_extension("ndjson.checkpoints"), checkpoint.sign(&signer()).to_string()).unwrap();
        let error = look().unwrap_err();
        assert!(error.is::<Inconsistent>() && error.to_string().contains("rewritten"), "{error:#}");
    }
    assert_eq!(fs::read(&state).unwrap(), remembered);
    assert!(witness(&opened(&file), &keys(), &signer(), &state, 0).is_err(), "a log is not its own witness");
}

#[test]
fn tiles_grow_with_the_log_and_are_refused_when_one_is_not_what_was_signed() {
    let (folder, file) = log(1000, &[200]);
    let laid = folder.path().join("tiles");
    let lay = |saved: u64| {
        written(&file, 1000, &[saved]);
        lay_tiles(&opened(&file), &keys(), &laid)
    };
    assert_eq!(lay(200).unwrap().files, 3);
    assert!(laid.join("tile/0/000.p/200").exists());
    for size in [256, 300, 1000] {
        lay(size).unwrap();
        let log = Log::open(&Source::Tiles(laid.clone()), true).unwrap();
        let report = verify(&log, &keys(), &[], false).unwrap();
        assert!(report.is_good() && report.entries == size, "{report}");
        assert!(!laid.join("tile/0/000.p").exists());
        assert!(tiles(0, size).iter().all(|tile| laid.join(tile.path()).is_file()));
    }
    assert_eq!(lay(1000).unwrap().files, 1);
    assert!(lay(900).unwrap_err().is::<Inconsistent>(), "a folder does not go back");
    for tile in tiles(0, 1000) {
        let path = laid.join(tile.path());
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[5] ^= 1;
        for bytes in [&bad[..], &good[1..], &[]] {
            fs::write(&path, bytes).unwrap();
            let log = Log::open(&Source::Tiles(laid.clone()), true).unwrap();
            assert!(!verify(&log, &keys(), &[], false).unwrap().is_good(), "{}", tile.path());
        }
        fs::write(&path, good).unwrap();
    }
}

/// The daemon's own store, and the commands of the program on what it kept.
#[test]
fn the_program_makes_keys_and_ends_with_the_documented_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("audit").args(arguments).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, key) = run(&["key", "--origin", ORIGIN, "--output", &at("audit.key")]);
    assert_eq!(code, 0, "{key}");
    let key = key.trim();
    VerifierKey::parse(key).unwrap();
    assert_eq!(run(&["key", "--origin", ORIGIN, "--output", &at("audit.key")]).0, 1, "a key was overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(at("audit.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let secret = fs::read_to_string(at("audit.key")).unwrap();
    let signing = Signing {
        key: plimsoll::audit::signer(secret.trim_end(), ORIGIN).unwrap(),
        former: Vec::new(),
        interval: std::time::Duration::from_secs(5),
    };
    let place = PathBuf::from(at("audit.ndjson.checkpoints"));
    let mut store =
        FileStore::open_signed(Path::new(&at("audit.ndjson")), Some(Checkpoints { place, signing }))
            .unwrap()
            .store;
    let about = std::collections::BTreeMap::from([("version".to_owned(), "1".to_owned())]);
    let body = plimsoll::engine::actor::entry::Body::Started { about };
    let format = plimsoll::engine::actor::entry::FORMAT;
    let entry = plimsoll::engine::actor::Entry { format, seq: 0, time: 1_795_341_600_000, body };
    store.append(&[entry], None).unwrap();
    drop(store);

    let file = at("audit.ndjson");
    let (code, told) = run(&["verify", "--file", &file, "--key", key]);
    assert!(code == 0 && told.contains("the log verifies"), "{told}");
    let (code, told) = run(&["show", "--file", &file]);
    assert!(code == 0 && told.contains("started"), "{told}");
    assert_eq!(run(&["show", "--file", &file, "--kind", "intent"]), (0, String::new()));
    assert_eq!(run(&["prove", "--file", &file, "--key", key, "--seq", "0", "--output", &at("proofs")]).0, 0);
    let (proof, proven) = (at("proofs/0-started.tlog-proof"), at("proofs/0-started.json"));
    assert_eq!(run(&["verify", "--proof", &proof, "--entry", &proven, "--key", key]).0, 0);
    assert_eq!(run(&["tiles", "--file", &file, "--key", key, "--output", &at("tiles")]).0, 0);
    assert_eq!(run(&["verify", "--tiles", &at("tiles"), "--key", key]).0, 0);
    assert_eq!(run(&["key", "--witness", "--origin", "w.example", "--output", &at("w.key")]).0, 0);
    let witness =
        ["witness", "--file", &file, "--key", key, "--signer", &at("w.key"), "--state", &at("state")];
    let (code, told) = run(&witness);
    assert!(code == 0 && told.contains("w.example"), "{told}");

    fs::write(&file, fs::read_to_string(&file).unwrap().replacen("\"1\"", "\"2\"", 1)).unwrap();
    let (code, told) = run(&["verify", "--file", &file, "--key", key]);
    assert!(code == 2 && told.contains("does not verify"), "{told}");
    assert_eq!(run(&["prove", "--file", &file, "--key", key, "--seq", "0"]).0, 2);
    fs::write(&proven, "{}").unwrap();
    assert_eq!(run(&["verify", "--proof", &proof, "--entry", &proven, "--key", key]).0, 2);
    assert_eq!(run(&["verify", "--file", &at("absent"), "--key", key]).0, 1);
    assert_eq!(run(&["verify", "--config", &at("absent.yaml")]).0, 64);
    assert_eq!(run(&["verify", "--file", &file, "--key", "x+y+z"]).0, 64);
    assert_eq!(run(&["verify", "--file", &file, "--tiles", &at("tiles")]).0, 64);
}
