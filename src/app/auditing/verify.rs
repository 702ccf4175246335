//! `plimsoll audit verify`: every entry is what it should be, none is missing, and the log is the
//! continuation of everything that was ever signed over it, as far as it is known here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::order::{self, Order};
use super::source::{Keys, Log};
use super::{Inconsistent, open, tiles};
use crate::audit::tlog::{Edge, Hash, Proof, Tree, leaf, notes};

/// Problems that are told one by one; the others are counted.
const TOLD: usize = 20;
/// Entries between two signs of life.
const STEP: u64 = 200_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    log: String,
    /// Entries read.
    pub entries: u64,
    root: Option<Hash>,
    /// Checkpoints that the log was held against, with good signatures where keys are known.
    pub checkpoints: u64,
    /// Entries that the largest of them covers.
    pub covered: u64,
    signed: bool,
    unfinished: u64,
    notes: Vec<String>,
    problems: Vec<String>,
    untold: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong, the first of it.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn wrong(&mut self, problem: String) {
        if self.problems.len() < TOLD { self.problems.push(problem) } else { self.untold += 1 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log          {}", self.log)?;
        writeln!(f, "entries      {}", self.entries)?;
        if let Some(root) = self.root {
            writeln!(f, "root         {root}")?;
        }
        let how = if self.signed { "with good signatures" } else { "signatures not checked: no key given" };
        writeln!(f, "checkpoints  {} ({how}), the largest over {} entries", self.checkpoints, self.covered)?;
        if self.covered < self.entries {
            let bare = self.entries - self.covered;
            writeln!(f, "note         the last {bare} entries are covered by no checkpoint yet")?;
        }
        if self.unfinished > 0 {
            writeln!(f, "note         {} bytes after the last line end are no entry", self.unfinished)?;
        }
        for note in &self.notes {
            writeln!(f, "note         {note}")?;
        }
        for problem in &self.problems {
            writeln!(f, "WRONG        {problem}")?;
        }
        if self.untold > 0 {
            writeln!(f, "WRONG        and {} times more", self.untold)?;
        }
        let verdict = match (self.is_good(), self.signed && self.checkpoints > 0) {
            (false, _) => "the log does not verify",
            (true, true) => "the log verifies",
            (true, false) => "the log is well-formed; nothing shows who wrote it",
        };
        write!(f, "result       {verdict}")
    }
}

/// Checks `log`; `saved` are files of checkpoints that somebody kept.
///
/// # Errors
/// When something cannot be read. What is wrong with the log is in the report.
pub fn verify(log: &Log, keys: &Keys, saved: &[PathBuf], progress: bool) -> anyhow::Result<Report> {
    let mut report = Report { log: log.name.clone(), signed: !keys.log.is_empty(), ..Report::default() };
    let expected = checkpoints(log, keys, saved, &mut report)?;
    let mut edge = Edge::default();
    // Tiles hold the tree itself, so it takes the whole tree to check them.
    let mut tree = log.folder().map(|_| Tree::default());
    let mut order = Order::default();
    let mut agreed = 0;
    let mut agree = |edge: &Edge, report: &mut Report| {
        for (root, name) in expected.get(&edge.size()).into_iter().flatten() {
            if *root == edge.root() {
                agreed = edge.size();
            } else {
                report.wrong(format!(
                    "{name} was signed over {} entries that are not these: something from entry {agreed} on was changed",
                    edge.size()
                ));
            }
        }
    };
    agree(&edge, &mut report);
    let read = log.entries(&mut |index, bytes| {
        let hash = leaf(bytes);
        edge.push(hash);
        if let Some(tree) = &mut tree {
            tree.push(hash);
        }
        match order::read(index, bytes) {
            Ok(entry) => {
                for wrong in order.take(&entry) {
                    report.wrong(format!("entry {index} {wrong}"));
                }
            }
            Err(wrong) => report.wrong(format!("entry {index} {wrong}")),
        }
        agree(&edge, &mut report);
        if progress && edge.size() % STEP == 0 {
            eprintln!("{} entries read", edge.size());
        }
        Ok(())
    });
    match read {
        Ok(unfinished) => report.unfinished = unfinished,
        Err(error) => match error.downcast::<Inconsistent>() {
            Ok(Inconsistent(wrong)) => report.wrong(wrong),
            Err(error) => return Err(error),
        },
    }
    report.entries = edge.size();
    report.root = Some(edge.root());
    for (size, names) in expected.range(edge.size() + 1..) {
        for (_, name) in names {
            let have = edge.size();
            report.wrong(format!(
                "{name} was signed over {size} entries, and there are {have}: the log was cut short"
            ));
        }
    }
    if let (Some(folder), Some(tree)) = (log.folder(), &tree) {
        tiles::check(folder, tree)?.into_iter().for_each(|wrong| report.wrong(wrong));
    }
    Ok(report)
}

/// By size, the roots that were signed and what signed them.
type Expected = BTreeMap<u64, Vec<(Hash, String)>>;

fn checkpoints(log: &Log, keys: &Keys, saved: &[PathBuf], report: &mut Report) -> anyhow::Result<Expected> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (at, note) in log.checkpoints.iter().enumerate() {
        all.push((format!("checkpoint {} of the log", at + 1), note.clone()));
    }
    for path in saved {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (found, whole) = notes(&bytes);
        for (at, note) in found.iter().enumerate() {
            all.push((format!("checkpoint {} in {}", at + 1, path.display()), note.to_vec()));
        }
        if whole < bytes.len() || found.is_empty() {
            report.wrong(format!("{} holds something that is not a checkpoint", path.display()));
        }
    }
    let mut expected = Expected::new();
    let mut by: Vec<String> = Vec::new();
    let mut origin: Option<String> = None;
    for (name, note) in all {
        match open(&note, keys) {
            Ok(opened) => {
                let checkpoint = opened.checkpoint;
                let of = origin.get_or_insert_with(|| checkpoint.origin.clone());
                if *of != checkpoint.origin {
                    report
                        .wrong(format!("{name} is of the log {}, and others are of {of}", checkpoint.origin));
                    continue;
                }
                by.extend(opened.by.iter().map(ToString::to_string));
                report.checkpoints += 1;
                report.covered = report.covered.max(checkpoint.size);
                expected.entry(checkpoint.size).or_default().push((checkpoint.root, name));
            }
            Err(wrong) => report.wrong(format!("{name}: {wrong}")),
        }
    }
    if report.signed && report.checkpoints == 0 {
        report.wrong("there is no checkpoint that the key has signed".to_owned());
    }
    for witness in keys.witnesses.iter().filter(|key| !by.contains(&key.to_string())) {
        let missing = format!("no checkpoint here is signed by the witness {}", witness.name());
        if keys.all_witnesses { report.wrong(missing) } else { report.notes.push(missing) }
    }
    Ok(expected)
}

/// Checks one proof of one entry, both in files, and says in words what it proves.
///
/// # Errors
/// When a file cannot be read; with [`Inconsistent`] where it is not a proof of that.
pub fn verify_proof(proof: &Path, entry: &Path, keys: &Keys) -> anyhow::Result<String> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (bytes, entry) = (read(proof)?, read(entry)?);
    let checked = Proof::parse(&bytes)
        .and_then(|parsed| Ok((parsed.index, parsed.verify(&entry, &keys.log, &keys.witnesses)?)));
    let (index, verified) = checked.map_err(|wrong| Inconsistent(format!("{}: {wrong}", proof.display())))?;
    if let Some(missing) = keys.witnesses.iter().find(|key| !verified.by.contains(key)) {
        return Err(
            Inconsistent(format!("the witness {} did not sign the checkpoint", missing.name())).into()
        );
    }
    let by: Vec<&str> = verified.by.iter().map(|key| key.name()).collect();
    let size = verified.checkpoint.size;
    Ok(format!(
        "the entry is number {index} of the first {size} of {}, signed by {}",
        verified.checkpoint.origin,
        by.join(" and ")
    ))
}
