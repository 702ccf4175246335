//! `plimsoll audit …`: its arguments, and how its findings become exit codes.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand};

use plimsoll::app::auditing::{
    self, Filter, Inconsistent, Keys, Log, Source, Subject, lay_tiles, make_key, show, verify, verify_proof,
};
use plimsoll::app::clock;
use plimsoll::audit::tlog::{Algorithm, SignerKey, VerifierKey};
use plimsoll::domain::EventTime;

use super::{BREACH, load, print};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Checks the whole log: form, numbers and order of its entries, and that it continues every
    /// checkpoint that was ever signed over it.
    #[command(
        after_help = "Examples:\n  plimsoll audit verify --config config/plimsoll.yaml\n  plimsoll audit verify --config config/plimsoll.yaml --checkpoint kept/2026-11-01 --checkpoint kept/2026-11-08\n  plimsoll audit verify --file audit.ndjson --key plimsoll.example/audit+fe91e1bb+AQOh...\n  plimsoll audit verify --tiles www/audit --key plimsoll.example/audit+fe91e1bb+AQOh...\n  plimsoll audit verify --proof 12-intent.tlog-proof --entry 12-intent.json --key plimsoll.example/audit+fe91e1bb+AQOh...\n\nExit code 0: it verifies. 1: failure. 2: it does not verify. 64: bad configuration."
    )]
    Verify(VerifyArgs),
    /// Cuts proofs that are checked offline: for one entry, or for everything about one action.
    #[command(
        after_help = "Examples:\n  plimsoll audit prove --config config/plimsoll.yaml --action rollback-1 --output incident-7\n  plimsoll audit prove --file audit.ndjson --seq 12\n\nFor each entry there are its exact bytes, N-kind.json, and N-kind.tlog-proof.\nExit code 0: written. 1: failure. 2: the log is not what was signed. 64: bad configuration."
    )]
    Prove(ProveArgs),
    /// Prints the entries, a line each.
    #[command(
        after_help = "Examples:\n  plimsoll audit show --config config/plimsoll.yaml --model credit --since 2026-11-01T00:00:00Z\n  plimsoll audit show --file audit.ndjson --action rollback-1 --json\n\nNothing is verified here. Exit code 0: read to the end. 1: failure. 64: bad configuration."
    )]
    Show(ShowArgs),
    /// Remembers the newest checkpoint and signs a newer one only when it is proven to continue it. Run it
    /// where the writers of the log have no access.
    #[command(
        after_help = "Examples:\n  plimsoll audit key --witness --origin witness.example/w1 --output witness.key\n  plimsoll audit witness --config config/plimsoll.yaml --key plimsoll.example/audit+fe91e1bb+AQOh... --signer witness.key --state witness.state --output cosigned\n\nExit code 0: signed. 1: failure. 2: the log is not the continuation of what was signed before. 64: bad configuration."
    )]
    Witness(WitnessArgs),
    /// Writes the log as static files (tlog-tiles) that any web server can publish, up to its newest
    /// checkpoint; only what is new is written.
    #[command(
        after_help = "Examples:\n  plimsoll audit tiles --config config/plimsoll.yaml --output www/audit\n\nExit code 0: written. 1: failure. 2: the log is not the continuation of what the folder holds. 64: bad configuration."
    )]
    Tiles(TilesArgs),
    /// Makes a signing key in a new file that only its owner can read, and prints the public key.
    #[command(
        after_help = "Examples:\n  plimsoll audit key --origin plimsoll.example/audit --output audit.key\n\nThen, in the configuration: audit: {origin: plimsoll.example/audit, key: {file: audit.key}}\nGive the public key to whoever is to verify the log, by a way that the log's keepers do not control."
    )]
    Key(KeyArgs),
}

/// Where the log is read.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").multiple(false))]
pub(super) struct SourceArgs {
    /// The configuration that says where the log is kept.
    #[arg(long, value_name = "FILE", default_value = "config/plimsoll.yaml", group = "source")]
    config: PathBuf,
    /// A file with an entry a line; checkpoints beside it, in FILE.checkpoints, are read too.
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// A folder of tiles.
    #[arg(long, value_name = "DIR", group = "source")]
    tiles: Option<PathBuf>,
    /// Public key of the log; may be given several times, once for each it was signed with. That of the
    /// configuration unless given.
    #[arg(long, value_name = "VKEY", value_parser = log_key)]
    key: Vec<VerifierKey>,
}

impl SourceArgs {
    fn source(&self) -> anyhow::Result<Source> {
        Ok(match (&self.file, &self.tiles) {
            (Some(file), _) => Source::File(file.clone()),
            (None, Some(folder)) => Source::Tiles(folder.clone()),
            (None, None) => Source::Config(Box::new(load(&self.config)?)),
        })
    }

    fn open(&self, witnesses: Vec<VerifierKey>) -> anyhow::Result<(Log, Keys)> {
        let source = self.source()?;
        let keys = Keys { log: self.key.clone(), witnesses, all_witnesses: false }.or_of(&source);
        Ok((Log::open(&source, !keys.log.is_empty())?, keys))
    }
}

fn log_key(text: &str) -> Result<VerifierKey, String> {
    let key = VerifierKey::parse(text).map_err(|wrong| wrong.to_string())?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        Algorithm::Cosignature => Err("it is the key of a witness, and not of a log".to_owned()),
    }
}

fn witness_key(text: &str) -> Result<VerifierKey, String> {
    let key = VerifierKey::parse(text).map_err(|wrong| wrong.to_string())?;
    match key.algorithm() {
        Algorithm::Cosignature => Ok(key),
        Algorithm::Ed25519 => Err("it is the key of a log, and not of a witness".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Public key of a witness that must have signed one of the checkpoints; may be given several times.
    /// Those of the configuration unless given.
    #[arg(long, value_name = "VKEY", value_parser = witness_key)]
    witness: Vec<VerifierKey>,
    /// Files of checkpoints that somebody kept: the log must continue each.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    checkpoint: Vec<PathBuf>,
    /// Checks this proof of one entry instead of a log.
    #[arg(long, value_name = "FILE", requires = "entry", requires = "key", conflicts_with_all = ["file", "tiles", "checkpoint"])]
    proof: Option<PathBuf>,
    /// The entry that the proof is for, byte for byte.
    #[arg(long, value_name = "FILE", requires = "proof")]
    entry: Option<PathBuf>,
    /// No signs of life on standard error.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").required(true))]
pub(super) struct ProveArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Number of the entry.
    #[arg(long, value_name = "N", group = "subject")]
    seq: Option<u64>,
    /// Id of the action: its decision, evidence, intent and outcome.
    #[arg(long, value_name = "ID", group = "subject")]
    action: Option<String>,
    /// Folder for the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Only about this action.
    #[arg(long, value_name = "ID")]
    action: Option<String>,
    /// Only about this model.
    #[arg(long)]
    model: Option<String>,
    /// Only of this kind: started, decision, evidence, intent, outcome, ...
    #[arg(long)]
    kind: Option<String>,
    /// Only entries made at this time or later, such as 2026-06-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<EventTime>,
    /// Entries as they are stored.
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<EventTime, String> {
    text.parse().map_err(|error: &str| error.to_owned())
}

#[derive(Debug, Args)]
pub(super) struct WitnessArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// File of the witness's own signing key, made with `plimsoll audit key --witness`.
    #[arg(long, value_name = "FILE")]
    signer: PathBuf,
    /// File in which the witness remembers what it has signed.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// File for the checkpoint with the witness's signature; standard output unless given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct TilesArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Folder for the files.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Name of the log, best the address under which you publish it, without `https://`.
    #[arg(long, value_name = "NAME")]
    origin: String,
    /// Where the key is written; no file may be there.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// A key for a witness of that name.
    #[arg(long)]
    witness: bool,
}

/// Carries out a command about the audit log.
pub(super) fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    let done = match command {
        AuditCommand::Verify(args) => verified(&args),
        AuditCommand::Prove(args) => proven(args),
        AuditCommand::Show(args) => shown(args),
        AuditCommand::Witness(args) => witnessed(&args),
        AuditCommand::Tiles(args) => laid(&args),
        AuditCommand::Key(args) => {
            let made = make_key(&args.origin, args.witness, &args.output)?;
            print(&made.verifier.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
    };
    match done {
        Err(error) => match error.downcast::<Inconsistent>() {
            Ok(found) => {
                eprintln!("WRONG: {found}");
                Ok(ExitCode::from(BREACH))
            }
            Err(error) => Err(error),
        },
        done => done,
    }
}

fn verified(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    if let (Some(proof), Some(entry)) = (&args.proof, &args.entry) {
        let keys =
            Keys { log: args.source.key.clone(), witnesses: args.witness.clone(), all_witnesses: true };
        print(&verify_proof(proof, entry, &keys)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (log, keys) = args.source.open(args.witness.clone())?;
    let report = verify(&log, &keys, &args.checkpoint, !args.quiet)?;
    print(&report.to_string())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(BREACH) })
}

fn proven(args: ProveArgs) -> anyhow::Result<ExitCode> {
    let (log, keys) = args.source.open(Vec::new())?;
    let subject = match (args.seq, args.action) {
        (Some(seq), _) => Subject::Entry(seq),
        (None, action) => Subject::Action(action.unwrap_or_default()),
    };
    let proven = auditing::prove(&log, &keys, &subject, &args.output)?;
    for proof in &proven.files {
        print(&proof.display().to_string())?;
    }
    if let Subject::Action(id) = &subject {
        let places = ["evidence", "intent", "outcome"].into_iter().zip(proven.order());
        let places = places.map(|(kind, at)| match at {
            Some(at) => format!("{kind} is entry {at}"),
            None => format!("there is no {kind}"),
        });
        eprintln!("action {id}: {}", places.collect::<Vec<_>>().join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(args: ShowArgs) -> anyhow::Result<ExitCode> {
    // Nothing is verified, so the checkpoints need not be there.
    let log = Log::open(&args.source.source()?, false)?;
    let ShowArgs { action, model, kind, since, json, .. } = args;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    show(&log, &Filter { action, model, kind, since, json }, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn witnessed(args: &WitnessArgs) -> anyhow::Result<ExitCode> {
    let failed = || format!("cannot read {}", args.signer.display());
    let text = std::fs::read_to_string(&args.signer).with_context(failed)?;
    let key = SignerKey::parse(text.trim_end()).with_context(failed)?;
    let (log, keys) = args.source.open(Vec::new())?;
    let time = u64::try_from(clock::now_millis() / 1_000).context("the clock is before 1970")?;
    let seen = auditing::witness(&log, &keys, &key, &args.state, time)?;
    match &args.output {
        Some(path) => {
            std::fs::write(path, &seen.note).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => std::io::stdout().write_all(seen.note.as_bytes()).context("cannot write the checkpoint")?,
    }
    eprintln!("signed {} entries, which begin with the {} signed before", seen.size, seen.before);
    Ok(ExitCode::SUCCESS)
}

fn laid(args: &TilesArgs) -> anyhow::Result<ExitCode> {
    let (log, keys) = args.source.open(Vec::new())?;
    let laid = lay_tiles(&log, &keys, &args.output)?;
    print(&format!(
        "{} files written: {} entries, {} of them new",
        laid.files,
        laid.size,
        laid.size - laid.before
    ))?;
    Ok(ExitCode::SUCCESS)
}
